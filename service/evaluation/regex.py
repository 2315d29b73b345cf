r"""Whether a text has a Python regular expression, with an end to it: `re` can take 2^n steps for n characters.

In: a pattern that a person wrote, a text that a model wrote. Out: whether it is found, or EvaluationError when that is
not known after `DEADLINE_S`. A child process looks, so that looking can be ended; it is kept for the next time. It
knows the standard library only. Patterns of schemas and inputs are matched by `engine/schema/matching.py` instead,
which needs no child but knows no `\b`, no look-around and no reference back.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import threading
from queue import Empty, Queue
from typing import IO

from service import children
from service.errors import EvaluationError

DEADLINE_S = 10.0
_CHILD = """
import json, re, sys
for line in sys.stdin:
    pattern, text = json.loads(line)
    try:
        print(json.dumps(re.search(pattern, text) is not None), flush=True)
    except (re.error, OverflowError, RecursionError) as error:
        print(json.dumps(str(error)), flush=True)
"""


class _Child:
    """One process, and a thread that hears it."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-c", _CHILD]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=children.child_environment()
        )
        assert self.process.stdout is not None
        self.heard: Queue[str] = Queue()
        threading.Thread(target=self._hear, args=(self.process.stdout,), daemon=True).start()

    def _hear(self, lines: IO[str]) -> None:
        for line in lines:
            self.heard.put(line)
        self.heard.put("null")

    def end(self) -> None:
        """Whatever it does."""
        self.process.kill()
        self.process.wait()


_lock = threading.Lock()
_kept: list[_Child] = []


def search(pattern: str, text: str, *, deadline_s: float = DEADLINE_S) -> bool:
    """Whether the pattern is found in the text. Raises EvaluationError for no pattern, and for one that takes long."""
    with _lock:
        if not _kept or _kept[0].process.poll() is not None:
            _kept[:] = [_Child()]
            atexit.register(_kept[0].end)
        child = _kept[0]
        assert child.process.stdin is not None
        try:
            child.process.stdin.write(json.dumps([pattern, text]) + "\n")
            child.process.stdin.flush()
            answer = json.loads(child.heard.get(timeout=deadline_s))
        except Empty:
            child.end()
            why = f"the regular expression took more than {deadline_s:g} s on one answer."
            remedy = "Write it without a repetition inside of a repetition."
            raise EvaluationError(why, key="regex", remedy=remedy) from None
        except OSError as error:
            raise EvaluationError(f"The process that matches regular expressions has ended: {error}.") from None
    if answer is None:
        raise EvaluationError("The process that matches regular expressions has ended.", key="regex")
    if isinstance(answer, str):
        raise EvaluationError(f"not a regular expression: {answer}.", key="regex")
    return bool(answer)
