"""`make drill-api`: Schemathesis on the whole API for ten minutes, against a real server on a real port.

    python -m tests.http.drill_api [--seconds 600] [--seed 1]

The server is the application as it is served, builds switched on, with a scripted model that keeps to every schema it
is given, because this tests the API and not a model. Schemathesis reads /openapi.json, sends valid and invalid
requests, follows links from answers to requests, and checks each answer: no 5xx, a documented status, the documented
type and schema, wrong input refused. The exit code is Schemathesis's.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from service.engine.types import Request
from service.http import brute_force
from service.http.app import create_app
from tests.builds.harness import SECRET, OneEngine, Unlocked, settings_for, until
from tests.ports import free_port
from tests.scripted import ScriptedEngine

# Left out: `ignored_auth` and `use_after_free` assume rules that this API does not have (the id of a build gives access
# to it), `unsupported_method` expects 405 for a path that another router answers.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,missing_required_header"
)


def instance(schema: dict[str, Any]) -> Any:
    """The smallest value that the schemas of our prompts allow."""
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: instance(properties.get(name, {"type": "null"})) for name in schema.get("required", properties)}
    if kind == "array":
        return [instance(schema.get("items", {"type": "null"}))] * schema.get("minItems", 0)
    if kind == "string":
        fits = ("", "a@b.co", "+1 555 0100", "5550100", "a" * max(1, schema.get("minLength", 1)))
        return next(fit for fit in reversed(fits) if re.search(schema.get("pattern", ""), fit))
    return {"integer": schema.get("minimum", 1), "number": schema.get("minimum", 1.0), "boolean": True}.get(kind)


def reply(request: Request) -> str:
    """The answer of the scripted model: a label, an instance of the schema, or a word."""
    if request.choices:
        return request.choices[0]
    return json.dumps(instance(json.loads(request.schema))) if request.schema else "word " * 3


def serve(port: int, state: Path) -> None:
    """The application until it is ended."""
    brute_force.AT_ONCE = brute_force.PER_MINUTE = 10**9  # Schemathesis sends many wrong secrets
    settings = settings_for(state, port=port, callback_allow="", build_deadline_s=30)
    engine = ScriptedEngine(reply)
    app = create_app(settings, engines=OneEngine(settings, engine), library=Unlocked(settings.data_dir))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def drill(seconds: int, more: list[str]) -> int:
    """Schemathesis's exit code."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        words = [sys.executable, "-m", "tests.http.drill_api", "--serve", str(port), "--state", f"{folder}/state"]
        with log.open("wb") as out:
            server = subprocess.Popen(words, stdout=out, stderr=out)
        try:
            until(lambda: alive(url), 120)
            done = subprocess.run(
                [
                    str(Path(sys.executable).with_name("schemathesis")),
                    *("run", f"{url}/openapi.json", "--max-time", str(seconds), "--checks", CHECKS, "--no-color"),
                    *("-H", f"authorization: Bearer {SECRET}", "--request-timeout", "60", "--continue-on-failure"),
                    *("--suppress-health-check", "all", "--generation-database", "none", "--warnings", "off", *more),
                ],
                cwd=folder,
                check=False,
            )
        finally:
            server.terminate()
            server.wait(60)
        said = log.read_text(encoding="utf-8", errors="replace")
        if "Traceback" in said:
            print(said[-5000:])
            return done.returncode or 1
        return done.returncode


def alive(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.http.drill_api", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--serve", type=int)
    parser.add_argument("--state", type=Path)
    arguments, more = parser.parse_known_args()
    if arguments.serve is not None:
        serve(arguments.serve, arguments.state)
    else:
        sys.exit(drill(arguments.seconds, more))


if __name__ == "__main__":
    main()
