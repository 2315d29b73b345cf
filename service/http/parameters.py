"""What becomes of each parameter that is no field of a request's type: taken, or refused by its name.

In: the body of a request under /v1, as JSON. Out: the same without explicit nulls, which are defaults, without what
means nothing for the answer, and without refused parameters whose value asks for nothing. RequestError for the rest,
so that nothing a caller asks for is dropped without a word.
Not here: honoured parameters and their ranges (`openai_types`), the page that lists all of them (`parameters_page`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.errors import MAX_NAME, NotSupported, RequestError, did_you_mean, short_name

MAX_TOLD = 8  # wrong parameters that one error tells
CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"


@dataclass(frozen=True)
class Group:
    """Parameters with one reason, on some routes. Each name has the values that ask for nothing; None is one always."""

    why: str
    names: Mapping[str, tuple[Any, ...]]
    routes: tuple[str, ...] = (CHAT, COMPLETIONS)


IGNORED: tuple[Group, ...] = (
    Group(
        "Says whom the request is for.",
        dict.fromkeys(("user", "metadata", "safety_identifier", "request_id"), ()),
        (CHAT, COMPLETIONS, EMBEDDINGS),
    ),
    Group(
        "A hint: prefixes are kept by their tokens.",
        dict.fromkeys(("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"), ()),
    ),
    Group("A hint: models stay loaded.", {"keep_alive": ()}, (CHAT, COMPLETIONS, EMBEDDINGS)),
)
"""What means nothing for the answer, whatever its value."""

REFUSED: tuple[Group, ...] = (
    Group(
        "No engine here has this sampler.",
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
    Group("Penalties look back over 64 tokens.", {"repeat_last_n": (64,), "repetition_penalty_range": (64,)}),
    Group(
        "The order of the samplers is fixed: bias, penalties, top_k, top_p, min_p, temperature.",
        {
            "samplers": ([],), "sampler_seq": (), "sampler_order": ([],), "sampler_priority": ([],),
            "temperature_last": (False,), "logits_processors": ([],),
        },
    ),
    Group(
        "No engine here searches with beams.",
        {"use_beam_search": (False,), "num_beams": (1,), "length_penalty": (1,), "early_stopping": (False,)},
    ),
    Group(
        "An answer ends where stop, max_tokens or the model say.",
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
            "guided_json": (), "guided_regex": (), "guided_choice": (), "guided_grammar": (),
            "guided_decoding_backend": (), "guided_whitespace_pattern": (), "structured_outputs": (),
            "structural_tag": (), "json_schema": (), "response_schema": (), "schema": (), "format": ("",), "regex": (),
            "ebnf": (), "grammar": ("",), "grammar_string": ("",),
        },
    ),
    Group(
        "A conversation gets the model's own chat template, and the answer is a new message.",
        {
            "chat_template": (), "chat_template_kwargs": ({},), "template": ("",), "system": ("",),
            "add_generation_prompt": (True,), "continue_final_message": (False,), "continue": (False,),
            "add_special_tokens": (True,), "skip_special_tokens": (True,), "spaces_between_special_tokens": (True,),
            "instruction_template": (), "documents": ([],), "raw": (False,), "safe_prompt": (False,), "prompt_mode": (),
        },
    ),
    Group(
        "No model here reasons apart from its answer.",
        {
            "reasoning_effort": ("none",), "reasoning": (), "thinking": (False,), "think": (False,),
            "enable_thinking": (False,), "include_reasoning": (False, True), "separate_reasoning": (True,),
            "stream_reasoning": (True,), "reasoning_format": ("none", "auto"), "reasoning_budget": (-1, 0),
            "thinking_budget": (0,), "verbosity": ("medium",),
        },
    ),
    Group(
        "The answer is text, of one model as the catalog has it.",
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
        "Use logprobs; an answer has its token ids under sameboat.tokens.",
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
    Group("Only as many answers are made as n says.", {"best_of": (1,)}),
    Group("Use /v1/completions.", {"prompt": ()}, (CHAT,)),
    Group("Text is only continued at its end.", {"suffix": ("",)}),
    Group("An answer does not repeat its prompt.", {"echo": (False,)}),
    Group(
        "Use /v1/chat/completions.",
        {
            "messages": (), "response_format": ({"type": "text"},), "tools": ([],), "tool_choice": ("none", "auto"),
            "parallel_tool_calls": (True, False),
        },
        (COMPLETIONS,),
    ),
    Group("Here logprobs is a number: that many alternatives.", {"top_logprobs": (0,)}, (COMPLETIONS,)),
    Group("Vectors have the model's own length.", {"dimensions": ()}, (EMBEDDINGS,)),
    Group(
        "A text is embedded whole and as it is.",
        {
            "truncate": (False, "none", "NONE"), "truncate_prompt_tokens": (), "add_special_tokens": (True,),
            "normalize": (True,), "input_type": (), "task": (), "instruction": ("",), "prompt_name": (),
        },
        (EMBEDDINGS,),
    ),
    Group(
        "It is an argument of OpenAI's Python client, which puts what is in it at the top of the body.",
        {"extra_body": ({},), "extra_headers": ({},), "extra_query": ({},)},
        (CHAT, COMPLETIONS, EMBEDDINGS),
    ),
)  # fmt: skip
"""What cannot be honoured. What OpenAI's own types list, and what other servers and the programs around them send;
these often send all they know, with neutral values, which are taken."""


def of_route(groups: tuple[Group, ...], route: str) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Reason and values that ask for nothing, by name."""
    return {
        name: (group.why, values) for group in groups if route in group.routes for name, values in group.names.items()
    }


def read(route: str, fields: Collection[str], body: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `fields` in the body. Raises NotSupported and RequestError, naming up to MAX_TOLD parameters."""
    taken, refused = of_route(IGNORED, route), of_route(REFUSED, route)
    wrong: list[tuple[str, str]] = []
    given = {name: value for name, value in body.items() if value is not None}
    for name in given:
        if name in fields or name in taken or len(wrong) == MAX_TOLD:
            continue
        if name not in refused:
            wrong.append((name, unknown(name, fields)))
        elif not any(_same(given[name], value) for value in _harmless(name, refused[name][1], given)):
            wrong.append((name, f"{name} is not supported here. {refused[name][0]}"))
    if wrong:
        known = wrong[0][0] in refused
        raise (NotSupported if known else RequestError)(" ".join(text for _, text in wrong), key=wrong[0][0][:MAX_NAME])
    return {name: whole(value) for name, value in given.items() if name in fields}


def whole(value: Any) -> Any:
    """A number like 16.0 as 16: JSON has one kind of number, and some languages write all of theirs with a fraction."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53 else value


def _harmless(name: str, values: tuple[Any, ...], given: Mapping[str, Any]) -> Iterator[Any]:
    """Values of a refused parameter that ask for nothing: `best_of` as large as `n` returns all that is made."""
    yield from values
    if name == "best_of":
        yield given.get("n", 1)


def _same(value: Any, other: Any) -> bool:
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def unknown(name: str, known: Collection[str]) -> str:
    """The sentence about a parameter that nobody knows."""
    meant = did_you_mean(name, known)
    return f"Unknown parameter {short_name(name)}" + (f"; {meant}" if meant else ".")
