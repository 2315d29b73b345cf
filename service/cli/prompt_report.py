"""`sameboat prompt report --base REVISION`: the pull request's text for every prompt that a branch changes.

In: a git revision. Out: Markdown, and exit code 1 if the change should not be merged.
Not here: the text itself (`evaluation.pull_request`).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from service import settings as settings_module
from service.evaluation import pull_request
from service.evaluation.promotion_history import extracted, git, root_of
from service.prompts.promoted import PromotedFolder


def command(
    base: Annotated[str, typer.Option(help="Compare with the point where this branch left that revision.")] = "main",
    out: Annotated[Path | None, typer.Option(help="Write the text to this file, and print only errors.")] = None,
) -> None:
    """Print the pull request's text for every prompt changed since BASE: scores, verdict, answers, diff.

    It needs no model. Exits with 1 if a recording does not replay, or if a verdict is not PASS and was not accepted
    with a reason.
    """
    data = settings_module.load().data_dir.resolve()
    root = root_of(data)
    inside = (data / "prompts").relative_to(root.resolve()).as_posix()
    start = git(root, "merge-base", "--end-of-options", base, "HEAD").decode().strip()
    named = git(root, "diff", "--name-only", "--no-renames", "-z", start, "--", inside).decode().split("\0")
    named += git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", inside).decode().split("\0")
    parts = [path.removeprefix(f"{inside}/").split("/") for path in named if path]
    names = sorted({part[0] for part in parts if len(part) > 1})
    with extracted(data / "prompts", start) as before:
        sections = asyncio.run(_sections(names, data / "prompts", before))
    text = pull_request.markdown(sections) if out is not None else pull_request.markdown(sections, limit=10**9)
    if out is not None:
        out.write_text(text, encoding="utf-8")
    else:
        typer.echo(text)
    bad = [section.name for section in sections if not section.good]
    if bad:
        typer.echo(f"sameboat: not good to merge: {', '.join(bad)}.", err=True)
        raise typer.Exit(1)


async def _sections(names: list[str], now: Path, before: Path) -> list[pull_request.PromptSection]:
    return [await pull_request.section_of(PromotedFolder(now / name), PromotedFolder(before / name)) for name in names]
