"""The functions of `python: module:function` checks.

In: an evaluator, which knows the folder of its prompt file. Out: the function.
A module is looked for beside the prompt file first, and then where Python looks. A file beside the prompt is read again
after a change, so a notebook sees it. It is one file: it imports no other file of its folder, because a promotion
copies only the files that checks name.
Not here: the call of the function (`checks`).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from service.errors import EvaluationError
from service.prompts.file import Prompt
from service.prompts.spec import Evaluator

_loaded: dict[Path, tuple[tuple[int, int], ModuleType]] = {}


def function_of(evaluator: Evaluator) -> Callable[..., Any]:
    """The function of a `python: module:function` check.

    Raises:
        EvaluationError: if it cannot be imported.
    """
    module, _, name = (evaluator.python or "").partition(":")
    path = file_of(evaluator)
    try:
        loaded = importlib.import_module(module) if path is None else _load(path)
        function: Callable[..., Any] = getattr(loaded, name)
    except Exception as error:  # noqa: BLE001 # a module of the user may raise anything while it is imported
        problem = str(error).rstrip(".") if isinstance(error, (ImportError, AttributeError)) else type(error).__name__
        raise EvaluationError(
            f"{evaluator.name}: {evaluator.python} cannot be imported: {problem}.",
            key="python",
            remedy=f"Put {module.replace('.', '/')}.py beside the prompt file, or on PYTHONPATH.",
        ) from None
    return function


def file_of(evaluator: Evaluator) -> Path | None:
    """The module's file beside the prompt file, or None if the module is elsewhere."""
    if evaluator.python is None or evaluator.folder is None:
        return None
    path = evaluator.folder / f"{evaluator.python.partition(':')[0].replace('.', '/')}.py"
    return path if path.is_file() else None


def files_of(prompt: Prompt) -> list[tuple[str, Path]]:
    """(path below the prompt's folder, file) of each module beside the prompt that a check names."""
    files = {path: evaluator.folder for evaluator in prompt.spec.evaluators if (path := file_of(evaluator)) is not None}
    return [(path.relative_to(folder).as_posix(), path) for path, folder in files.items() if folder is not None]


def _load(path: Path) -> ModuleType:
    """The module of a file, under a name that no other module has. Read again if the file has changed."""
    path = path.resolve()
    status = path.stat()
    version = (status.st_mtime_ns, status.st_size)
    if path in _loaded and _loaded[path][0] == version:
        return _loaded[path][1]
    name = f"sameboat_scorer_{len(_loaded)}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "the name ends in .py"
    assert spec.loader is not None, "a file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # `inspect` and dataclasses look it up there
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)  # noqa: S102 # no stale bytecode file
    except BaseException:
        del sys.modules[name]
        raise
    _loaded[path] = (version, module)
    return module
