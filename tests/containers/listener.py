"""An evaluator for inside a network of containers: says thank you, and prints each callback as one line of JSON.

It runs in any image with a Python, so it imports nothing of ours: `python listener.py [PORT]`.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Hears callbacks."""

    def do_POST(self) -> None:
        """Print it whole, and accept it."""
        raw = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        sys.stdout.write(
            json.dumps({"headers": headers, "raw": raw.decode()}) + "\n"
        )  # one write: callbacks come at once
        sys.stdout.flush()
        self.send_response(200)
        self.send_header("content-length", "9")
        self.end_headers()
        self.wfile.write(b"thank you")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing else."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
