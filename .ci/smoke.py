"""Ask every public route of a deployed instance, and show each answer: `python3 .ci/smoke.py URL`, or `make smoke`.

In: a base URL. SMOKE_TOKEN is sent as a bearer token where the instance wants a key. SAMEBOAT_SECRET lists builds.
Out: a table, and exit code 1 when a route answered wrongly or not at all. The script starts no build and needs only
Python's standard library. It reads the routes from the instance's own OpenAPI document. A route that no request below
covers is a failure.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

BUDGET_S = 55.0
"""For everything together, after the instance is ready."""
WRONG = "not-the-one"


@dataclass
class Answer:
    """One answer, read to its end."""

    status: int
    text: str
    seconds: float

    def json(self) -> Any:
        """Its JSON, or nothing."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


@dataclass
class Smoke:
    """Requests against one instance, and their results."""

    url: str
    token: str = ""
    ends: float = 0.0
    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def ask(self, method: str, path: str, body: Any = None, bearer: str = "") -> Answer:
        """One request, whatever comes back. Raises OSError when nothing does, or nothing whole."""
        headers = {"content-type": "application/json", "user-agent": "sameboat-smoke"}
        if bearer or self.token:
            headers["authorization"] = f"Bearer {bearer or self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        began = time.monotonic()
        left_s = max(1.0, self.ends - began) if self.ends else 10.0
        try:
            with urllib.request.urlopen(request, timeout=left_s) as answer:
                status, text = answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise OSError(f"{type(error).__name__}: {error}") from error
        return Answer(status, text, time.monotonic() - began)

    def see(
        self,
        method: str,
        path: str,
        good: Callable[[Answer], str | None],
        *,
        body: Any = None,
        bearer: str = "",
        route: str | None = None,
    ) -> Answer | None:
        """Ask and judge. The answer if it is good. `good` returns a description, or None when the answer is wrong."""
        self.asked.add(f"{method} {route or path}")
        if time.monotonic() > self.ends:
            self.rows.append(("FAIL", method, path, "", f"not asked: the {BUDGET_S:.0f} s were over"))
            return None
        try:
            answer = self.ask(method, path, body, bearer)
        except OSError as error:
            self.rows.append(("FAIL", method, path, "", f"no answer: {error}"))
            return None
        said = good(answer)
        took = f"{answer.status}, {answer.seconds * 1000:.0f} ms"
        self.rows.append(("ok" if said is not None else "FAIL", method, path, took, said or answer.text[:120]))
        return answer if said is not None else None

    def table(self) -> str:
        """The rows, aligned."""
        widths = [max(len(row[column]) for row in self.rows) for column in range(4)]
        lines = []
        for row in self.rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            lines.append("  ".join([*cells, " ".join(row[4].split())]).rstrip())
        return "\n".join(lines)


def is_json(*keys: str) -> Callable[[Answer], str | None]:
    """200, and JSON with these keys."""

    def good(answer: Answer) -> str | None:
        found = answer.json()
        if answer.status == 200 and isinstance(found, dict) and all(key in found for key in keys):
            return ", ".join(f"{key}: {str(found[key])[:60]}" for key in keys)
        return None

    return good


def holds(*words: str) -> Callable[[Answer], str | None]:
    """200, and a text with these words."""

    def good(answer: Answer) -> str | None:
        return (
            f"{len(answer.text)} characters" if answer.status == 200 and all(w in answer.text for w in words) else None
        )

    return good


def refuses(*statuses: int) -> Callable[[Answer], str | None]:
    """A refusal as problem+json, the right answer to this request."""

    def good(answer: Answer) -> str | None:
        found = answer.json()
        if answer.status in statuses and isinstance(found, dict) and "title" in found:
            return f"refused as it should be: {found['title']}"
        return None

    return good


def asks_for_a_key(answer: Answer) -> str | None:
    """A refusal as OpenAI's clients know it. Where SMOKE_TOKEN is needed, another one must not do."""
    code = (answer.json() or {}).get("error", {}).get("code")
    return "refused as it should be" if (answer.status, code) == (401, "invalid_api_key") else None


def answered(answer: Answer) -> str | None:
    """A prompt's answer with its fingerprint, or a refusal because this instance does not hold the model."""
    found = answer.json()
    if not isinstance(found, dict):
        return None
    if answer.status == 200 and found.get("fingerprint"):
        return f"fingerprint {found['fingerprint'][:12]}, {found.get('value', found.get('text'))}"
    if answer.status == 503 and "is not in the cache" in found.get("detail", ""):
        return f"not held here: {found['detail']}"
    return None


def tokenized(answer: Answer) -> str | None:
    """The tokens of a prompt, or a refusal because this instance does not hold the model or its engine tells none."""
    found = answer.json()
    if not isinstance(found, dict):
        return None
    if answer.status == 200 and found.get("tokens"):
        return f"{found['count']} tokens"
    if answer.status == 400 and "remote engine" in found.get("detail", ""):
        return f"not with this engine: {found['detail'][:80]}"
    return answered(answer)


def is_list(answer: Answer) -> str | None:
    """200, and a JSON list."""
    found = answer.json()
    return f"{len(found)} rows" if answer.status == 200 and isinstance(found, list) else None


def examined(answer: Answer) -> str | None:
    """Findings, or a refusal to everyone but the single user on loopback."""
    return is_list(answer) or refuses(403)(answer)


def streamed(answer: Answer) -> str | None:
    """Server-sent events to the end."""
    events = answer.text.count("data: ")
    return f"{events} events" if answer.status == 200 and events > 1 and "[DONE]" in answer.text else None


def unless_remote(*keys: str) -> Callable[[Answer], str | None]:
    """200 with these keys, or a refusal because the engine is a remote one, which does not tell its tokens."""

    def good(answer: Answer) -> str | None:
        error = (answer.json() or {}).get("error") or {}
        if answer.status == 400 and "remote engine" in error.get("message", ""):
            return f"not with this engine: {error['message'][:80]}"
        return is_json(*keys)(answer)

    return good


def responded(answer: Answer) -> str | None:
    """The events of a response to the last one."""
    events = answer.text.count("event: ")
    ended = "event: response.completed" in answer.text or "event: response.incomplete" in answer.text
    return f"{events} events" if answer.status == 200 and ended else None


def example(schema: dict[str, Any]) -> Any:
    """Some value that the schema allows, as far as prompts' inputs go."""
    if "enum" in schema:
        return schema["enum"][0]
    if "default" in schema:
        return schema["default"]
    kind = schema.get("type")
    if kind == "object":
        return {name: example(each) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema.get("items", {}))] * schema.get("minItems", 0)
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    if kind == "boolean":
        return True
    return "Kenji Mori of Iris Labs liked it."[: schema.get("maxLength", 100)]


def service(smoke: Smoke, digests: dict[str, Any] | None) -> None:
    """Alive, ready, measured, versioned, and the pages for people."""
    smoke.see("GET", "/healthz", is_json("status"))
    smoke.see("GET", "/readyz", is_json("state"))
    if smoke.token:
        smoke.see("GET", "/v1/models", asks_for_a_key, bearer=WRONG, route="/v1/models with a wrong key")
    version = smoke.see("GET", "/version", is_json("version", "prompts"))
    smoke.see("GET", "/metrics", holds("# HELP", "sameboat"))
    smoke.see("GET", "/status", is_json("version", "engines"))
    smoke.see("GET", "/status/history", is_json("columns", "rows"))
    smoke.see("GET", "/status/doctor", examined)
    smoke.see("GET", "/", holds("<html", "Sameboat"))
    smoke.see("GET", "/docs", holds("swagger-ui"))
    if digests is not None:
        found = version.json()["prompts"] if version else None
        same = found == digests["prompts"]
        said = "the prompts are the image's" if same else f"expected {digests['prompts']}, found {found}"
        smoke.rows.append(("ok" if same else "FAIL", "", "digests", "", said))


def prompts(smoke: Smoke) -> None:
    """Every promoted prompt, with inputs made from its schema."""

    def good(answer: Answer) -> str | None:
        found = answer.json()
        if answer.status != 200 or not isinstance(found, list):
            return None
        return ", ".join(each["name"] for each in found) or "none is promoted"

    listed = smoke.see("GET", "/prompts", good)
    smoke.see("GET", "/evaluations", is_list)
    for each in listed.json() if listed else []:
        name = each["name"]
        smoke.see("GET", f"/prompts/{name}", is_json("name", "sha256"), route="/prompts/{name}")
        inputs = example(each["inputs"])
        smoke.see("POST", f"/prompts/{name}", answered, body={"inputs": inputs})
        path = f"/prompts/{name}/tokens"
        smoke.see("POST", path, tokenized, body={"inputs": inputs}, route="/prompts/{name}/tokens")
        path = f"/prompts/{name}/evaluation"
        smoke.see("GET", path, is_json("name", "cases"), route="/prompts/{name}/evaluation")
        smoke.see("GET", f"/prompts/{name}/drift", is_json("word", "kept"), route="/prompts/{name}/drift")


def openai(smoke: Smoke) -> None:
    """The OpenAI-compatible routes, with the default model."""
    models = smoke.see("GET", "/v1/models", is_json("data"))
    names = [each["id"] for each in models.json()["data"]] if models else []
    name = names[0] if names else "none"
    smoke.see("GET", f"/v1/models/{name}", is_json("id"), route="/v1/models/{name}")
    body = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8, "temperature": 0}
    smoke.see("POST", "/v1/chat/completions", is_json("choices", "usage"), body=body)
    smoke.see("POST", "/v1/chat/completions", streamed, body={**body, "stream": True})
    smoke.see("POST", "/v1/completions", is_json("choices", "usage"), body={"prompt": "One, two,", "max_tokens": 4})

    asked = {"input": "Say hello.", "instructions": "Answer in one word.", "temperature": 0}
    smoke.see("POST", "/v1/responses", is_json("output", "usage"), body={**asked, "max_output_tokens": 8})
    smoke.see("POST", "/v1/responses", responded, body={**asked, "max_output_tokens": 8, "stream": True})
    counted = unless_remote("input_tokens")
    smoke.see("POST", "/v1/responses/input_tokens", counted, body={"input": "Say hello."})

    echoed = {"prompt": [1, 2, 3], "echo": True, "logprobs": 1, "max_tokens": 0}
    smoke.see("POST", "/v1/completions", unless_remote("choices", "usage"), body=echoed)
    smoke.see("POST", "/tokenize", unless_remote("tokens", "count"), body={"prompt": "hello"})
    smoke.see("POST", "/detokenize", unless_remote("prompt"), body={"tokens": [1, 2, 3]})
    smoke.see("GET", "/tokenizer_info", unless_remote("eos_token"))

    def embedded(answer: Answer) -> str | None:
        found = answer.json()
        if answer.status in (400, 501) and isinstance(found, dict) and "error" in found:
            return f"no embeddings here: {found['error']['message'][:80]}"
        return is_json("data")(answer)

    smoke.see("POST", "/v1/embeddings", embedded, body={"model": name, "input": "hello"})


def builds(smoke: Smoke, secret: str) -> None:
    """The routes of builds: without the secret they refuse, and nothing is started."""
    brief = {
        "email": "smoke@example.com", "secret": WRONG, "task": "smoke-test", "round": 1, "nonce": "smoke-1",
        "brief": "Nothing.", "checks": ["A page"], "evaluation_url": "https://example.com/notify", "attachments": [],
    }  # fmt: skip
    no = refuses(403, 503)
    smoke.see("POST", "/api-endpoint", no, body=brief)
    smoke.see("POST", "/builds", no, body=brief)
    if secret:
        smoke.see("GET", "/builds", is_json("builds"), bearer=secret)
    else:
        smoke.see("GET", "/builds", no, bearer=WRONG)
    lost = refuses(403, 404, 503)
    looks = [("GET", rest) for rest in ("", "/events", "/exchanges", "/diff", "/screenshot")]
    for method, rest in (*looks, ("POST", "/cancel"), ("POST", "/deliver"), ("POST", "/retry")):
        smoke.see(method, f"/builds/no-such-build{rest}", lost, route="/builds/{build}" + rest, bearer=WRONG)


def everything(smoke: Smoke) -> None:
    """A route of the instance that no request above covers is a failure of this script."""
    document = smoke.see("GET", "/openapi.json", is_json("paths"))
    paths = document.json()["paths"] if document else {}
    for path, methods in paths.items():
        for method in methods:
            if f"{method.upper()} {path}" not in smoke.asked:
                smoke.rows.append(("FAIL", method.upper(), path, "", "no request is known for it: .ci/smoke.py"))


def ready(smoke: Smoke, wait_s: float) -> None:
    """Wait until it is ready. The table shows any problem after that."""
    ends = time.monotonic() + wait_s
    while time.monotonic() < ends:
        try:
            if smoke.ask("GET", "/readyz").status == 200:
                return
        except OSError:
            pass
        time.sleep(1)


def main(arguments: list[str]) -> int:
    """Ask, print, judge."""
    parser = argparse.ArgumentParser(prog="smoke", description="Ask every public route of an instance.")
    parser.add_argument("url", help="base URL, for example http://127.0.0.1:7860")
    parser.add_argument("--wait", type=float, default=0, metavar="S", help="seconds to wait until it is ready first")
    parser.add_argument("--digests", type=json.loads, metavar="JSON", help="what `sameboat version --digests` prints")
    given = parser.parse_args(arguments)
    smoke = Smoke(given.url.rstrip("/"), os.environ.get("SMOKE_TOKEN", ""))
    ready(smoke, given.wait)
    began = time.monotonic()
    smoke.ends = began + BUDGET_S
    service(smoke, given.digests)
    prompts(smoke)
    openai(smoke)
    builds(smoke, os.environ.get("SAMEBOAT_SECRET", ""))
    everything(smoke)
    failed = sum(row[0] == "FAIL" for row in smoke.rows)
    print(smoke.table())
    print(f"\n{smoke.url}: {len(smoke.rows)} looks in {time.monotonic() - began:.1f} s, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
