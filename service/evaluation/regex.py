r"""Search a text for a Python regular expression, with a deadline: `re` can take 2^n steps for n characters.

In: a pattern that a person wrote, and a text that a model wrote. Out: whether it matches, or EvaluationError after
`DEADLINE_S`. A child process searches, because only a process can be stopped. It is kept for the next search.
Not here: patterns of schemas and inputs. `engine/schema/matching.py` matches these without a child, and does not
support `\b`, look-around and back-references.
"""

from __future__ import annotations

import atexit
import contextlib
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
    """One process, and a thread that reads its answers."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-c", _CHILD]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=children.child_environment()
        )
        assert self.process.stdout is not None
        self.answers: Queue[str] = Queue()
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self.answers.put(line)
        self.answers.put("null")

    def kill(self) -> None:
        """End the process, also in the middle of a search."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # the rest for a process that has ended
                    pipe.close()


_lock = threading.Lock()
_kept: list[_Child] = []


def search(pattern: str, text: str, *, deadline_s: float = DEADLINE_S) -> bool:
    """Whether the pattern matches anywhere in the text.

    Raises:
        EvaluationError: if the pattern is not valid, or if the search takes more than `deadline_s`.
    """
    with _lock:
        if not _kept or _kept[0].process.poll() is not None:
            _kept[:] = [_Child()]
            atexit.register(_kept[0].kill)
        child = _kept[0]
        assert child.process.stdin is not None
        try:
            child.process.stdin.write(json.dumps([pattern, text]) + "\n")
            child.process.stdin.flush()
            answer = json.loads(child.answers.get(timeout=deadline_s))
        except Empty:
            child.kill()
            message = f"the regular expression took more than {deadline_s:g} s on one answer."
            remedy = "Write it without a repetition inside of a repetition."
            raise EvaluationError(message, key="regex", remedy=remedy) from None
        except OSError as error:
            raise EvaluationError(f"The process that matches regular expressions has ended: {error}.") from None
    if answer is None:
        raise EvaluationError("The process that matches regular expressions has ended.", key="regex")
    if isinstance(answer, str):
        raise EvaluationError(f"not a regular expression: {answer}.", key="regex")
    return bool(answer)
