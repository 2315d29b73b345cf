"""A fake evaluator that keeps to the public contract: exactly the seven fields, or 400 with a reason, for ever.

It checks the Standard Webhooks signature when it is told the key, and can be told to answer otherwise first.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.builds.harness import Heard, Memory

FIELDS = {"email", "task", "round", "nonce", "repo_url", "commit_sha", "pages_url"}


def fault(raw: bytes, headers: dict[str, str], key: bytes | None) -> str | None:
    """The problem of a callback, or None."""
    body = json.loads(raw)
    if set(body) != FIELDS:
        return f"fields differ: {sorted(set(body) ^ FIELDS)}"
    if headers.get("content-type") != "application/json":
        return "not application/json"
    if not isinstance(body["round"], int) or len(body["commit_sha"]) != 40:
        return "a field has the wrong type"
    if key is not None:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + raw
        wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(wanted, headers["webhook-signature"]):
            return "the signature is wrong"
    return None


@contextlib.contextmanager
def evaluator(*says: tuple[int, str], key: bytes | None = b"signing key") -> Iterator[Memory]:
    """Serve until the end. `says` holds the first answers as (status, text). The contract's answers follow."""
    memory = Memory("", says=list(says))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            memory.heard.append(Heard(time.time(), headers, raw))
            wrong = fault(raw, headers, key)
            status, text = memory.says.pop(0) if memory.says else (400, wrong) if wrong else (200, "thank you")
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", text)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        memory.url = f"http://127.0.0.1:{server.server_port}/notify"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield memory
        finally:
            server.shutdown()
            thread.join()
