"""The parameters under /v1 that are no fields of a body: they are ignored, or refused by name.

In: the body of a request under /v1, as JSON. Out: the values of the body's fields, or RequestError for the others. A
null is the default and is left out. Left out too are parameters without effect on the answer, and refused parameters
with a neutral value. So no parameter is dropped silently.
Not here: honoured parameters and their ranges (`generation_body`, `openai_types`), and the page that lists all of them
(`parameters_page`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.errors import MAX_NAME, NotSupported, RequestError, did_you_mean, short_name

MAX_REPORTED = 8  # wrong parameters in one error
CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
RESPONSES, INPUT_TOKENS = "/v1/responses", "/v1/responses/input_tokens"
TOKENIZE, DETOKENIZE = "/tokenize", "/detokenize"


@dataclass(frozen=True)
class Group:
    """Parameters of some routes that are ignored or refused for the same reason. Each name has its neutral values.

    null is always neutral.
    """

    why: str
    names: Mapping[str, tuple[Any, ...]]
    routes: tuple[str, ...] = (CHAT, COMPLETIONS)


IGNORED: tuple[Group, ...] = (
    Group(
        "Names the end user or the request.",
        dict.fromkeys(("user", "metadata", "safety_identifier", "request_id"), ()),
        (CHAT, COMPLETIONS, EMBEDDINGS),
    ),
    Group(
        "A hint. The prefix cache compares tokens.",
        dict.fromkeys(("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"), ()),
    ),
    Group(
        "Names the end user or the request.",
        dict.fromkeys(("user", "safety_identifier", "request_id"), ()),
        (RESPONSES,),
    ),
    Group(
        "A hint. The prefix cache compares tokens.",
        dict.fromkeys(("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"), ()),
        (RESPONSES,),
    ),
    Group("It limits tools that run at OpenAI. None runs here.", {"max_tool_calls": ()}, (RESPONSES,)),
    Group("A hint. Models stay loaded.", {"keep_alive": ()}, (CHAT, COMPLETIONS, EMBEDDINGS)),
)
"""Parameters without effect on the answer, with any value."""

REFUSED: tuple[Group, ...] = (
    Group(
        "No engine has this sampler.",
        {
            "typical_p": (1,), "typical": (1,), "tfs": (1,), "tfs_z": (1,), "top_a": (0,), "top_n_sigma": (0, -1),
            "xtc_probability": (0,), "xtc_threshold": (0.1,), "mirostat": (0,), "mirostat_mode": (0,),
            "mirostat_tau": (5,), "mirostat_eta": (0.1,), "dry_multiplier": (0,), "dry_base": (1.75,),
            "dry_allowed_length": (2,), "dry_penalty_last_n": (-1, 0), "dry_range": (0,),
            "dry_sequence_breakers": (["\n", ":", '"', "*"], []), "dynatemp_range": (0,), "dynatemp_exponent": (1,),
            "dynamic_temperature": (False,), "smoothing_factor": (0,), "smoothing_curve": (1,), "epsilon_cutoff": (0,),
            "eta_cutoff": (0,), "penalty_alpha": (0,), "guidance_scale": (1,), "no_repeat_ngram_size": (0,),
            "encoder_repetition_penalty": (1,), "penalize_nl": (False,), "min_keep": (0,), "watermark": (False,),
        },
    ),
    Group("Penalties count the last 64 tokens.", {"repeat_last_n": (64,), "repetition_penalty_range": (64,)}),
    Group(
        "The order of the samplers is fixed: bias, penalties, top_k, top_p, min_p, temperature.",
        {
            "samplers": ([],), "sampler_seq": (), "sampler_order": ([],), "sampler_priority": ([],),
            "temperature_last": (False,), "logits_processors": ([],),
        },
    ),
    Group(
        "No engine has beam search.",
        {"use_beam_search": (False,), "num_beams": (1,), "length_penalty": (1,), "early_stopping": (False,)},
    ),
    Group(
        "An answer ends at stop, at max_tokens, or when the model ends it.",
        {
            "min_tokens": (0,), "min_new_tokens": (0,), "min_length": (0,), "ignore_eos": (False,),
            "ban_eos_token": (False,), "stop_token_ids": ([],), "stop_regex": ("", []),
            "include_stop_str_in_output": (False,), "no_stop_trim": (False,), "t_max_predict_ms": (0,),
            "n_indent": (0,), "num_predict": (), "max_length": (), "max_output_tokens": (),
        },
    ),
    Group(
        "Use logit_bias with token ids.",
        {
            "bad_words": ([],), "bad_words_ids": ([],), "banned_tokens": ([], ""), "custom_token_bans": ("",),
            "allowed_token_ids": ([],),
        },
    ),
    Group(
        "Use response_format with a json_schema.",
        {
            "guided_decoding_backend": (), "guided_whitespace_pattern": (), "structural_tag": (), "response_schema": (),
            "schema": (), "format": ("",), "grammar_string": ("",),
        },
    ),
    Group(
        "A conversation uses the model's chat template, and the answer is a new message.",
        {
            "chat_template": (), "template": ("",), "system": ("",), "continue": (False,),
            "add_special_tokens": (True,), "skip_special_tokens": (True,), "spaces_between_special_tokens": (True,),
            "instruction_template": (), "raw": (False,), "safe_prompt": (False,), "prompt_mode": (),
        },
    ),
    Group(
        "Use /v1/chat/completions. A raw text gets no chat template.",
        {
            "chat_template_kwargs": ({},), "documents": ([],), "add_generation_prompt": (True,),
            "continue_final_message": (False,), "template_date": (),
        },
        (COMPLETIONS,),
    ),
    Group(
        "Use chat_template_kwargs with the names of the model's template, such as enable_thinking.",
        {
            "reasoning_effort": ("none",), "reasoning": (), "thinking": (False,), "think": (False,),
            "enable_thinking": (False,), "stream_reasoning": (True,), "reasoning_budget": (-1, 0),
            "thinking_budget": (0,), "verbosity": ("medium",),
        },
    ),
    Group(
        "Use /v1/chat/completions. The answer to a raw text is one text.",
        {"include_reasoning": (True,), "separate_reasoning": (False,), "reasoning_format": ("none",)},
        (COMPLETIONS,),
    ),
    Group(
        "The answer is text from one model of the catalog.",
        {
            "modalities": (["text"],), "audio": (), "images": ([],), "prediction": (), "moderation": (),
            "web_search_options": (), "search_parameters": (), "mm_processor_kwargs": ({},), "lora": ([],),
            "lora_request": (), "lora_path": (), "adapter_id": ("",), "models": ([],), "provider": (), "plugins": ([],),
            "route": (), "transforms": ([],), "options": ({},), "num_ctx": (), "truncation": ("disabled",),
            "truncation_length": (), "truncate_prompt_tokens": (),
        },
    ),
    Group("Nothing is stored.", {"store": (False,)}),
    Group(
        "Use the headers X-Sameboat-Priority, X-Sameboat-Deadline and Cache-Control.",
        {
            "service_tier": ("auto", "default"), "priority": (0,), "cache_prompt": (True,), "id_slot": (-1,),
            "n_keep": (0,), "kv_transfer_params": ({},),
        },
    ),
    Group(
        "Use logprobs. An answer has its token ids in sameboat.tokens.",
        {
            "n_probs": (0,), "post_sampling_probs": (False,), "prompt_logprobs": (), "return_tokens": (False,),
            "return_token_ids": (False,), "return_tokens_as_token_ids": (False,), "return_full_text": (False,),
            "return_hidden_states": (False,), "details": (False,), "decoder_input_details": (False,),
            "timings_per_token": (False,), "return_progress": (False,), "detokenize": (True,), "vllm_xargs": ({},),
            "custom_params": ({},),
        },
    ),
    Group("Use tools and tool_choice.", {"functions": ([],), "function_call": ("none", "auto")}),
    Group("Use messages, or prompt of /v1/completions.", {"input": (), "instructions": (), "prompt_embeds": ()}),
    Group("The number of answers is n.", {"best_of": (1,)}),
    Group("Use /v1/completions.", {"prompt": ()}, (CHAT,)),
    Group("An answer does not repeat its conversation.", {"echo": (False,)}, (CHAT,)),
    Group("Use /v1/completions.", {"suffix": ("",), "parse_special": (False,)}, (CHAT,)),
    Group(
        "Use /v1/chat/completions.",
        {
            "messages": (), "response_format": ({"type": "text"},), "tools": ([],), "tool_choice": ("none", "auto"),
            "parallel_tool_calls": (True, False),
        },
        (COMPLETIONS,),
    ),
    Group("On this route logprobs is a number of alternatives.", {"top_logprobs": (0,)}, (COMPLETIONS,)),
    Group(
        "Nothing is stored. Send the whole conversation as input.",
        {"previous_response_id": (), "conversation": ()},
        (RESPONSES, INPUT_TOKENS),
    ),
    Group("Nothing is stored.", {"store": (False,), "prompt": ()}, (RESPONSES,)),
    Group("The answer comes with its request.", {"background": (False,)}, (RESPONSES,)),
    Group(
        "An input that is too long is refused, and never cut.",
        {"truncation": ("disabled",), "context_management": ([],)},
        (RESPONSES,),
    ),
    Group("An input that is too long is refused, and never cut.", {"truncation": ("disabled",)}, (INPUT_TOKENS,)),
    Group(
        "Use chat_template_kwargs with the names of the model's template, such as enable_thinking.",
        {"reasoning": ({}, {"effort": "none"})},
        (RESPONSES, INPUT_TOKENS),
    ),
    Group(
        "The answer is text from one model of the catalog.",
        {"image": (), "moderation": (), "access_programs": ()},
        (RESPONSES,),
    ),
    Group(
        "A conversation uses the model's chat template, and the answer is a new message.",
        {"chat_template": (), "mm_processor_kwargs": ({},)},
        (TOKENIZE,),
    ),
    Group("Use instructions.", {"personality": ()}, (INPUT_TOKENS,)),
    Group(
        "Use the headers X-Sameboat-Priority, X-Sameboat-Deadline and Cache-Control.",
        {"service_tier": ("auto", "default")},
        (RESPONSES,),
    ),
    Group("The limit of tokens is max_output_tokens.", {"max_tokens": (), "max_completion_tokens": ()}, (RESPONSES,)),
    Group("Use input and instructions.", {"messages": ()}, (RESPONSES, INPUT_TOKENS)),
    Group("Use text.format.", {"response_format": ({"type": "text"},)}, (RESPONSES, INPUT_TOKENS)),
    Group("Vectors have the model's length.", {"dimensions": ()}, (EMBEDDINGS,)),
    Group(
        "A text is embedded whole and unchanged.",
        {
            "truncate": (False, "none", "NONE"), "truncate_prompt_tokens": (), "add_special_tokens": (True,),
            "normalize": (True,), "input_type": (), "task": (), "instruction": ("",), "prompt_name": (),
        },
        (EMBEDDINGS,),
    ),
    Group(
        "It is an argument of OpenAI's Python client, which moves its content to the top of the body.",
        {"extra_body": ({},), "extra_headers": ({},), "extra_query": ({},)},
        (CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, INPUT_TOKENS, TOKENIZE, DETOKENIZE),
    ),
)  # fmt: skip
"""Parameters that cannot be honoured: from OpenAI's types, other servers, and their clients. Some clients send every
parameter that they know. Neutral values are ignored."""


def of_route(groups: tuple[Group, ...], route: str) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """The reason and the neutral values of each parameter of the route."""
    return {
        name: (group.why, values) for group in groups if route in group.routes for name, values in group.names.items()
    }


def read(route: str, fields: Collection[str], body: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `fields` in the body.

    Raises:
        NotSupported: if a parameter is refused. It names up to MAX_REPORTED wrong parameters.
        RequestError: if the first wrong parameter is unknown.
    """
    taken, refused = of_route(IGNORED, route), of_route(REFUSED, route)
    wrong: list[tuple[str, str]] = []
    given = {name: value for name, value in body.items() if value is not None}
    for name in given:
        if name in fields or name in taken or len(wrong) == MAX_REPORTED:
            continue
        if name not in refused:
            wrong.append((name, unknown(name, fields)))
        elif not any(_same(given[name], value) for value in _neutral(name, refused[name][1], given)):
            wrong.append((name, f"{name} is not supported here. {refused[name][0]}"))
    if wrong:
        known = wrong[0][0] in refused
        raise (NotSupported if known else RequestError)(" ".join(text for _, text in wrong), key=wrong[0][0][:MAX_NAME])
    return {name: whole(value) for name, value in given.items() if name in fields}


def whole(value: Any) -> Any:
    """16.0 as 16: JSON has one type of number, and some languages write all numbers with a fraction."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53 else value


def _neutral(name: str, values: tuple[Any, ...], given: Mapping[str, Any]) -> Iterator[Any]:
    """The neutral values of a refused parameter. For `best_of` also the value of `n`: then every answer is returned."""
    yield from values
    if name == "best_of":
        yield given.get("n", 1)


def _same(value: Any, other: Any) -> bool:
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def unknown(name: str, known: Collection[str]) -> str:
    """The sentence about an unknown parameter."""
    meant = did_you_mean(name, known)
    return f"Unknown parameter {short_name(name)}" + (f"; {meant}" if meant else ".")
