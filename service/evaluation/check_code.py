"""The code that decides a `python` check.

In: the check's function. Out: the source of the function and of every definition of its module that it uses, without
comments, docstrings, decorators and imports. So the text changes with the code, and not when the check moves to another
module or its prose is rewritten.

Not here: the other modules that it calls. A live run shows their changes.
"""

from __future__ import annotations

import ast
import inspect
import io
import tokenize
from collections.abc import Callable
from typing import Any

DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def code_of(function: Callable[..., Any]) -> str:
    """The code, definitions in the order of their names.

    Raises:
        OSError: if the module has no source file.
        TypeError: if it is built in.
    """
    function = inspect.unwrap(function)
    source = inspect.getsource(inspect.getmodule(function) or function)
    tree = ast.parse(source)
    definitions = {name: node for node in tree.body for name in _defined(node)}
    used: set[str] = set()
    waiting = [function.__name__] if function.__name__ in definitions else list(definitions)
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in used:
            used.add(name)
            waiting += [node.id for node in ast.walk(definitions[name]) if isinstance(node, ast.Name)]
    lines = _without_prose(source, tree)
    spans = dict.fromkeys((definitions[name].lineno, definitions[name].end_lineno) for name in sorted(used))
    return "\n".join(line for first, last in spans for line in lines[first - 1 : last] if line)


def _defined(node: ast.stmt) -> set[str]:
    """The names that a statement of a module defines, without imported names."""
    if isinstance(node, DEFINES):
        return {node.name}
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}


def _without_prose(source: str, tree: ast.Module) -> list[str]:
    """The lines, those of docstrings empty, and without comments."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(tree):
        if isinstance(node, DEFINES) and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            for row in range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1):
                lines[row - 1] = ""
    return [line.rstrip() for line in lines]
