"""Stand-ins for vLLM, SGLang, llama-server, Sameboat and Ollama: what each tells of itself, and of tokens.

    with KindServer("vllm") as server:
        server.script("no_probabilities")   # the next request for probabilities
        ... server.base_url, server.asked ...

A token is a character, and its id is the character's number. `probability` is made from the tokens before it, so a test
can compute every score. Modes of requests for probabilities, beside those of `OpenAIServer` for answers:

    normal             right
    no_probabilities   the field is missing, as from a server that does not know the parameter
    short              one entry is missing
    other_tokens       the probabilities of other tokens, as after another tokenization
    reversed           the choices in another order
    not_a_number       text in place of a number
    not_json           a web page
    500                an error, which is retried
"""

from __future__ import annotations

import math
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from tests.servers.openai_server import OpenAIServer

END = 3  # the token that ends a turn
TEMPLATE = "{{ messages }}"


def render(messages: list[dict[str, str]], *, generation: bool = True, opened: bool = False) -> list[int]:
    """The token ids of a conversation."""
    tokens: list[int] = []
    for message in messages:
        tokens += [1, *(ord(character) for character in f"{message['role']}\n{message['content']}"), END]
    if opened:
        tokens.pop()
    return [*tokens, 1, *(ord(character) for character in "assistant\n")] if generation and not opened else tokens


def probability(before: list[int], token: int) -> float:
    """The log-probability of a token after others."""
    return -0.1 - ((sum(before) * 31 + token * 7) % 97) / 13


def score(messages: list[dict[str, str]], label: str, *, ended: bool = False) -> float:
    """The log-probability of a label behind a conversation."""
    before = render(messages)
    total = 0.0
    for token in [*map(ord, label), *([END] if ended else [])]:
        total += probability(before, token)
        before = [*before, token]
    return total


class KindServer(OpenAIServer):
    """A server of this kind."""

    def __init__(self, kind: str, **options: Any) -> None:
        told: dict[str, dict[str, dict[str, Any]]] = {
            "vllm": {"/version": {"version": "0.32.0"}},
            "sglang": {
                "/get_model_info": {"model_path": "org/model", "weight_version": "default", "is_generation": True},
                "/get_server_info": {"version": "0.5.9"},
            },
            "llama-server": {
                "/props": {
                    "build_info": "b9999-abc", "model_path": "/models/m.gguf", "chat_template": TEMPLATE,
                    "eos_token": chr(END), "default_generation_settings": {"n_ctx": 2048},
                },
            },
            "sameboat": {
                "/version": {
                    "version": "0.2.0", "prompts": {},
                    "models": {"small": {"engine_version": "1", "sha256": "a" * 64, "template_sha256": "b" * 64}},
                },
            },
            "ollama": {
                "/api/version": {"version": "0.12.0"},
                "/api/tags": {"models": [{"name": "small:latest", "digest": "c" * 64}]},
            },
        }  # fmt: skip
        self.kind = kind
        self.tokenizes = True
        self.facts = told.get(kind, {})
        owner = {"llama-server": "llamacpp", "openai": "openai"}.get(kind, kind)
        self.model: dict[str, Any] = {"id": "small", "object": "model", "owned_by": owner}
        if kind in ("vllm", "sglang"):
            self.model |= {"root": "org/model", "max_model_len": 4096}
        if kind == "llama-server":
            self.model["meta"] = {"n_vocab": 9, "n_params": 10, "size": 11, "ftype": "Q8_0"}
        routes = [Route("/v1/models", self._list)]
        routes += [Route(path, self._tell) for path in self.facts]
        for path in ("/tokenize", "/apply-template", "/completion", "/generate", "/v1/completions"):
            routes.append(Route(path, self._ask, methods=["POST"]))
        super().__init__(routes=routes, **options)

    async def _list(self, request: Request) -> Response:
        headers = {"server": "llama.cpp"} if self.kind == "llama-server" else {}
        return JSONResponse({"object": "list", "data": [self.model]}, headers=headers)

    async def _tell(self, request: Request) -> Response:
        return JSONResponse(self.facts[request.url.path])

    async def _ask(self, request: Request) -> Response:
        body = await request.json()
        path = request.url.path
        if body.get("stream"):
            return await self._answer(request)
        self.asked.append((path, dict(request.headers), body))
        known = {
            "vllm": ("/tokenize", "/v1/completions"), "sameboat": ("/tokenize", "/v1/completions"),
            "sglang": ("/tokenize", "/generate"), "llama-server": ("/tokenize", "/apply-template", "/completion"),
        }.get(self.kind, ())  # fmt: skip
        if path not in known or (path == "/tokenize" and not self.tokenizes):
            return JSONResponse({"error": {"message": "no such route"}}, 404)
        if path == "/tokenize":
            return JSONResponse({"tokens": _tokens(body)})
        if path == "/apply-template":
            return JSONResponse({"prompt": "".join(map(chr, render(body["messages"])))})
        mode = self._mode()
        if mode == "500":
            return JSONResponse({"error": {"message": "The worker crashed."}}, 500)
        if mode == "not_json":
            return HTMLResponse("<h1>Welcome to the proxy</h1>")
        if path == "/completion":
            return JSONResponse(_next(body, mode))
        rows = [_row(self.kind, text, at, mode) for at, text in enumerate(body.get("prompt") or body["input_ids"])]
        rows = rows[::-1] if mode == "reversed" and self.kind != "sglang" else rows  # SGLang's have no index
        return JSONResponse(rows if path == "/generate" else {"object": "text_completion", "choices": rows})


def _tokens(body: dict[str, Any]) -> list[int]:
    if "messages" in body:
        opened, generation = body.get("continue_final_message", False), body.get("add_generation_prompt", True)
        return render(body["messages"], generation=generation, opened=opened)
    return [ord(character) for character in body.get("prompt") or body["content"]]


def _row(kind: str, text: list[int], at: int, mode: str) -> dict[str, Any]:
    """One choice, with the probabilities of the prompt's tokens in this kind's form."""
    named = [(token + 1 if mode == "other_tokens" else token, probability(text[:place], token)) for place, token in
             enumerate(text)]  # fmt: skip
    values: list[Any] = ["x" if mode == "not_a_number" else value for _, value in named]
    start = {"short": len(text) - 1}.get(mode, 0)
    if kind == "vllm":
        entry = {"rank": 1, "decoded_token": "?"}
        pairs = list(zip(named, values, strict=True))[1:]  # the first token follows nothing
        rows: list[Any] = [None, *({str(token): {**entry, "logprob": value}} for (token, _), value in pairs)]
        told: dict[str, Any] = {"prompt_logprobs": rows[start:]}
        return {"index": at, "text": "?", "finish_reason": "length", **({} if mode == "no_probabilities" else told)}
    if kind == "sglang":
        entries = [[value, token, None] for (token, _), value in zip(named, values, strict=True)][start:]
        told = {"input_token_logprobs": entries}
        return {"text": "?", "meta_info": {"prompt_tokens": len(text), **({} if mode == "no_probabilities" else told)}}
    told = {"tokens": ["?"] * (len(text) + 1), "token_logprobs": [None, *values[1:], -0.5], "top_logprobs": None}
    if mode == "short":
        told["token_logprobs"] = told["token_logprobs"][:1]
    return {"index": at, "text": "?", "logprobs": None if mode == "no_probabilities" else told}


def _next(body: dict[str, Any], mode: str) -> list[dict[str, Any]] | dict[str, Any]:
    """The next token after each prompt, as /completion tells it: those with even ids are among the most likely ones."""
    rows: list[dict[str, Any]] = []
    for at, text in enumerate(body["prompt"]):
        likely = sorted(range(32, 128, 2), key=lambda token: -probability(text, token))[: body["n_probs"]]
        forced = body["logit_bias"][0][0] if "logit_bias" in body else likely[0]
        entries = [{"id": token, "logprob": probability(text, token), "token": chr(token)} for token in likely]
        told: dict[str, Any] = {"id": forced, "logprob": probability(text, forced), "top_logprobs": entries}
        if mode == "other_tokens" and "logit_bias" in body:
            told["id"] += 1
        if mode == "not_a_number":
            told["logprob"] = entries[0]["logprob"] = "x"
        row: dict[str, Any] = {"index": at, "content": "?", "completion_probabilities": [told]}
        if mode == "no_probabilities":
            del row["completion_probabilities"]
        rows.append(row)
    if mode == "short":
        rows.pop()
    rows = rows[::-1] if mode == "reversed" else rows
    return rows[0] if len(rows) == 1 else rows


def softmax(scores: list[float]) -> list[float]:
    """Probabilities that sum to 1."""
    weights = [math.exp(value - max(scores)) for value in scores]
    return [weight / sum(weights) for weight in weights]
