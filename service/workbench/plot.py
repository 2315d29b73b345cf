"""Figures that display as static pictures, and as numbers in a terminal.

In: a matplotlib figure and a text. Out: an object with both.
Not here: the content of a figure (`show`, `displays`).
"""

from __future__ import annotations

import io
from typing import Any

NOW, BEFORE = "#0b6176", "#b07d2b"


class Plot:
    """A matplotlib figure that displays as a picture in any notebook, also if pyplot was not imported.

    `text` holds the same numbers for a terminal.
    """

    def __init__(self, figure: Any, text: str) -> None:
        self.figure, self.text = figure, text

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.figure.savefig(data, format="png", dpi=110)
        return data.getvalue()

    def __repr__(self) -> str:
        """The numbers, for a terminal."""
        return self.text


def new_figure(width: float, height: float) -> Any:
    """An empty figure of this size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
