"""`make fuzz`: every route's whole body, made from `/openapi.json`, against a real service with the real engine.

    python -m tests.http.fuzz [--seconds 1800] [--seed 1]

In: the routes' JSON schemas in the OpenAPI document. Out: nothing, or the first requests that were answered with a 5xx,
killed an engine's process or left a traceback in the log. Each value is at a limit of its schema, just outside the
limit, or of another type. The only right 503 is that of a missing model.
Not here: whether answers match their description (`drill_api`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from service.http import paths
from tests.e2e.conftest import STARTER, Started, started, starter_cache

SECRET = "fuzz-secret-of-the-tests"
Schema = dict[str, Any]
Values = st.SearchStrategy[Any]

TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["", " ", "Say hello.", "<|im_end|>", "<|im_start|>system\n", "{{text}}", "é\u0301", "🦜" * 9]),
    st.sampled_from(["a" * 5000, "\x00", "\ud800", "\u202e", "../../etc/passwd", "data:text/plain;base64,aGk="]),
)
NUMBERS = [0, 1, -1, 2, 0.5, 1e-9, 2**31, 2**32 - 1, 2**53 + 1, -(2**63), 2**64, 1e308, -1e308]
JUNK: Values = st.recursive(
    st.none() | st.booleans() | st.sampled_from(NUMBERS) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
SCHEMAS: Values = st.recursive(
    st.sampled_from([
        {"type": "string", "maxLength": 5}, {"type": "integer", "minimum": 0, "maximum": 9}, {"type": "boolean"},
        {"enum": ["a", 1, None]}, {"const": "x"}, {"type": "null"}, {"type": "number"}, {}, {"format": "email"},
        {"type": "string", "pattern": "^[a-c]{1,3}$"}, {"pattern": "(a+)+$"}, {"$ref": "#"}, {"type": "odd"},
        {"type": "string", "format": "date"}, {"multipleOf": 7}, {"$ref": "#/$defs/none"}, {"maxLenght": 3},
    ]),
    lambda inner: st.one_of(
        st.builds(lambda items, size: {"type": "array", "items": items, "maxItems": size}, inner, st.integers(0, 3)),
        st.builds(
            lambda properties, closed: {
                "type": "object", "properties": properties, "required": list(properties)[:1],
                "additionalProperties": not closed,
            },
            st.dictionaries(st.sampled_from(["a", "b", "ü", ""]), inner, max_size=3), st.booleans(),
        ),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, max_size=3)),
        st.builds(lambda options: {"oneOf": options}, st.lists(inner, max_size=3)),
    ),
    max_leaves=5,
)  # fmt: skip
TOOLS = st.lists(
    st.builds(
        lambda name, parameters: {"type": "function", "function": {"name": name, "parameters": parameters}},
        st.sampled_from(["now", "a-b", "", "x" * 65]), SCHEMAS,
    ),
    min_size=1, max_size=2,
)  # fmt: skip
FORMATS = st.one_of(
    st.sampled_from([{"type": "text"}, {"type": "json_object"}, {"type": "json_schema"}]),
    st.builds(lambda schema: {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}, SCHEMAS),
)
BY_NAME: dict[str, Values] = {
    "model": st.sampled_from([None, STARTER, STARTER, "none-such"]),
    "max_tokens": st.sampled_from([None, 1, 2, 6, 0, -1]),
    "max_output_tokens": st.sampled_from([1, 2, 6, 0, None]),
    "max_completion_tokens": st.sampled_from([None, 1, 6, 0]),
    "n": st.sampled_from([1, 1, 2, 3, 0, 17, None]),
    "role": st.sampled_from(["system", "developer", "user", "user", "assistant", "tool", "nobody"]),
    "tools": TOOLS,
    "response_format": FORMATS,
    "stop": st.one_of(st.lists(TEXTS, max_size=17), TEXTS, st.none()),
    "logit_bias": st.dictionaries(
        st.sampled_from(["0", "1", "500", "49151", "49152", "-1", str(2**40), "word"]),
        st.sampled_from([-100, 100, 0, 1e308, -0.5]), max_size=4,
    ),
    "secret": st.sampled_from([SECRET, "wrong", "", None]),
    "evaluation_url": st.sampled_from(["http://127.0.0.1:9/n", "http://evaluator.invalid/", "file:///etc/passwd", ""]),
}  # fmt: skip
"""What most names' values are; the rest is made from the schema."""


def mostly(often: Values, seldom: Values, times: int) -> Values:
    """`often` is drawn `times` times as often as `seldom`. (`one_of` drops duplicates.)"""
    return st.integers(0, times).flatmap(lambda die: often if die else seldom)


def resolved(schema: Schema, document: Schema) -> Schema:
    """The schema that a `$ref` of an OpenAPI document leads to."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def values(schema: Schema, document: Schema, depth: int = 0) -> Values:
    """Values of the schema, at its ends, and just outside."""
    schema = resolved(schema, document)
    if depth > 5:
        return JUNK
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return st.one_of([values(option, document, depth + 1) for option in options])
    if "enum" in schema or "const" in schema:
        return st.sampled_from([*schema.get("enum", []), *([schema["const"]] if "const" in schema else []), "other"])
    kinds = schema.get("type", "object")
    of_kind: dict[str, Callable[[], Values]] = {
        "null": st.none,
        "boolean": st.booleans,
        "string": lambda: _strings(schema),
        "integer": lambda: _numbers(schema),
        "number": lambda: _numbers(schema),
        "array": lambda: st.lists(
            values(schema.get("items", {}), document, depth + 1), max_size=min(schema.get("maxItems", 3), 3)
        ),
        "object": lambda: _objects(schema, document, depth),
    }
    return st.one_of([of_kind[kind]() for kind in ([kinds] if isinstance(kinds, str) else kinds)])


def _strings(schema: Schema) -> Values:
    longest = schema.get("maxLength")
    ends = [] if longest is None else ["x" * longest, "x" * (longest + 1)]
    return st.one_of(TEXTS, st.sampled_from(ends)) if ends else TEXTS


def _numbers(schema: Schema) -> Values:
    ends = [schema[name] for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum") if name in schema]
    step = 1 if schema.get("type") == "integer" else 1e-3
    return st.sampled_from([*ends, *(end + step for end in ends), *(end - step for end in ends), *NUMBERS])


def _objects(schema: Schema, document: Schema, depth: int) -> Values:
    properties: dict[str, Values] = {}
    for name, inner in schema.get("properties", {}).items():
        made = values(inner, document, depth + 1)
        known = BY_NAME.get(name)
        properties[name] = mostly(known, made, 9) if known is not None else made
    required = {name: properties[name] for name in schema.get("required", []) if name in properties}
    optional = {name: value for name, value in properties.items() if name not in required}
    whole = st.fixed_dictionaries(required, optional=optional)
    # Most optional parameters are left out, so that some requests are valid enough to reach the engine.
    few = st.lists(st.sampled_from(sorted(optional)), max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({**required, **{name: optional[name] for name in names}})
    ) if optional else whole  # fmt: skip
    extra = st.builds(lambda some, junk: {**junk, **some}, few, st.dictionaries(TEXTS, JUNK, max_size=2))
    return mostly(few, st.one_of(whole, extra), 6)


@dataclass
class Fuzz:
    """One run against one service: its requests, their outcomes and faults."""

    service: Started
    client: httpx.Client
    document: Schema
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def operations(self) -> Values:
        """Method, path and body of a request to one of the routes."""
        made = []
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                if path.endswith("/events"):  # an endless answer. `e2e` tests it
                    continue
                content = operation.get("requestBody", {}).get("content", {})
                body = [values(media["schema"], self.document) for media in content.values()]
                asked = mostly(body[0], JUNK, 9) if body else st.none()
                # Routes with more parameters get more requests.
                times = 8 if paths.is_openai(path) and body else 1
                made += [st.tuples(st.just(method.upper()), _filled(path), asked)] * times
        return st.sampled_from(made).flatmap(lambda operation: operation)

    def ask(self, method: str, path: str, body: Any, headers: dict[str, str]) -> None:
        """Send one request and read its whole answer. Record a fault."""
        if path.endswith("/completions") and isinstance(body, dict):
            limits = [body.get("max_tokens"), body.get("max_completion_tokens")]
            if not any(isinstance(limit, int) for limit in limits):  # else an answer fills the context
                body = {**body, "max_completion_tokens" if "/chat/" in path else "max_tokens": 6}
        if path == "/v1/responses" and isinstance(body, dict) and not isinstance(body.get("max_output_tokens"), int):
            body = {**body, "max_output_tokens": 6}
        content = None if body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", "authorization": f"Bearer {SECRET}", **headers}
        try:
            answer = self.client.request(method, path, content=content, headers=sent, timeout=120)
        except httpx.TransportError as error:
            self.faults.append(f"{method} {path} {content!r}: {type(error).__name__}")
            return
        self.outcomes[str(answer.status_code)] += 1
        if answer.status_code >= 500 and "model-unusable" not in answer.text:
            self.faults.append(f"{method} {path} {headers} {content!r}: {answer.status_code} {answer.text[:400]}")


def _filled(path: str) -> Values:
    """The path with its parameters filled in."""
    if "{" not in path:
        return st.just(path)
    before, rest = path.split("{", 1)
    return st.sampled_from(["sender", STARTER, "x", "%00", "..", "a" * 300, "build-0", "%F0%9F%A6%9C"]).map(
        lambda value: before + value + rest.split("}", 1)[1]
    )


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "x-sameboat-mode": st.sampled_from(["exact", "fast", "other", ""]),
        "x-sameboat-priority": st.sampled_from(["interactive", "background", "other"]),
        "x-sameboat-deadline": st.sampled_from(["60", "0", "-1", "nan", "1e999", "x"]),
        "cache-control": st.sampled_from(["no-cache", "no-store"]),
    },
)


def fuzz(service: Started, seconds: float, number: int) -> Fuzz:
    """Send requests for `seconds` seconds. Returns the run."""
    end = time.monotonic() + seconds
    with httpx.Client(base_url=service.url) as client:
        run = Fuzz(service, client, client.get("/openapi.json").json())
        workers = service.workers()
        round_ = 0
        while time.monotonic() < end and len(run.faults) < 20:
            round_ += 1

            @seed(number + round_)
            @settings(
                max_examples=100, deadline=None, database=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(run.operations(), HEADERS)
            def some(operation: tuple[str, str, Any], headers: dict[str, str]) -> None:
                if time.monotonic() < end and len(run.faults) < 20:
                    run.ask(*operation, headers)

            some()
            if service.workers() != workers:
                run.faults.append("an engine's process was replaced")
                workers = service.workers()
        if client.get("/readyz").status_code != 200:
            run.faults.append("it is not ready at the end")
    if "Traceback" in service.log.read_text(encoding="utf-8", errors="replace"):
        run.faults.append(service.log.read_text(encoding="utf-8", errors="replace")[-3000:])
    return run


def main() -> None:
    """Fuzz a service of its own."""
    from service.models.cache import Cache
    from service.models.catalog import Catalog
    from service.settings import load

    parser = argparse.ArgumentParser(prog="python -m tests.http.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    catalog = Catalog.load(load().data_dir / "models.toml")
    starter = Cache(load().cache_dir).find(catalog[catalog.default])
    assert starter is not None, "the starter model is not in the cache; run: make models"
    with tempfile.TemporaryDirectory() as folder, fuzzed(Path(folder), starter) as service:
        run = fuzz(service, arguments.seconds, arguments.seed)
    print(f"{sum(run.outcomes.values())} requests, by status: {dict(sorted(run.outcomes.items()))}")
    print("\n".join(run.faults) or "no fault")
    sys.exit(1 if run.faults else 0)


def fuzzed(folder: Path, starter: Path) -> Any:
    """A service with the starter model and with builds. Its maker only plans."""
    return started(
        folder, SAMEBOAT_CACHE_DIR=starter_cache(starter, folder), SAMEBOAT_MODEL=STARTER, SAMEBOAT_SECRET=SECRET,
        SAMEBOAT_MAKER="plan", SAMEBOAT_STATE_DIR=str(folder / "state"), SAMEBOAT_PAGES_PORT="0",
    )  # fmt: skip


if __name__ == "__main__":
    main()
