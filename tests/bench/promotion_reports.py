"""`make promotion-reports`: for each real prompt a worse draft, an equal one on 12 cases and a better one, judged.

    python -m tests.bench.promotion_reports [--only NAME,...]

Writes docs/promotion-reports.md. Per promoted prompt:

* worse: the same prompt on the starter model, or, where it runs there already, its labels without calibration
* equal: one word of its instruction changed, and only twelve of its cases
* better: the promoted prompt itself, where the worse one stands promoted. Of `language` it is better on the whole and
  loses a class, so the verdict is no PASS.

The promoted prompt's own answers come from its recording, by fingerprint. The models answer everything else.
Nothing under data/ is written: each story happens in a copy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service import settings as settings_module
from service.engine.pool import Engines
from service.evaluation import promote, recording
from service.evaluation.context import EvaluationContext
from service.evaluation.promote import Promotion
from service.evaluation.recording import Journal
from service.prompts import lock as locks
from service.prompts.file import Prompt, dumps, loads
from service.prompts.library import Library
from service.prompts.promoted import PromotedFolder

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = ("sentiment", "extract-contact", "language")
FEW = 12
LOSES_A_CLASS = ("language",)  # on all cases: uncalibrated, the starter answers English, which is always right there


@dataclass(frozen=True)
class Told:
    """One promotion and its expected verdict."""

    title: str
    expected: str
    done: Promotion


def turns(prompt: Prompt) -> list[dict[str, str]]:
    """The prompt's messages, as they are written in a file."""
    return [{"role": message.role, "content": message.content} for message in prompt.spec.messages]


def worse(prompt: Prompt, starter: str) -> tuple[str, Prompt]:
    """The reason why it is worse, and the draft."""
    if prompt.spec.model != starter:
        return f"the same prompt on {starter}", loads(dumps(prompt, {"model": starter}))
    return "without calibration", loads(dumps(prompt, {"calibration": "none"}))


def reworded(prompt: Prompt) -> Prompt:
    """One word more in the instruction."""
    messages = turns(prompt)
    messages[0]["content"] = f"Please: {messages[0]['content']}"
    return loads(dumps(prompt, {"messages": messages}))


def cut(source: Path, target: Path, prompt: Prompt, n: int) -> None:
    """A promoted folder with `n` of its cases, spread over the file, as a young prompt has them."""
    shutil.copytree(source, target)
    file = target / (prompt.spec.testDataFile or "cases.jsonl")
    lines = [line for line in file.read_text(encoding="utf-8").split("\n") if line]
    kept = [lines[len(lines) * place // n] for place in range(n)]
    file.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    ids = {str(json.loads(line)["id"]) for line in kept}
    known = recording.read(target / "recording.jsonl")
    recording.write(target / "recording.jsonl", [each for each in known.values() if each.id in ids])
    lock = locks.read(target / "lock.json")
    (target / "lock.json").write_text(locks.make(prompt, target, lock.identity).text(), encoding="utf-8")


async def story(name: str, library: Library, engines: Engines, work: Path, *, cases: int | None = None) -> list[Told]:
    """The three promotions of one prompt. With `cases`, on so many cases spread over its file."""
    starter, home = engines.default, work / name / name
    prompt = library[name]
    cut(library.folder(name), home, prompt, cases) if cases else shutil.copytree(library.folder(name), home)
    journal = Journal(work / f"{name}.journal")
    for record in recording.read(home / "recording.jsonl").values():
        journal.add(record)

    async def promoted(draft: Prompt, target: Path, accept: str | None = None) -> Promotion:
        engine = engines.get(draft.spec.model)
        await engine.ready()
        return await promote.promote(
            draft, PromotedFolder(target), EvaluationContext(engine, journal=journal), accept=accept
        )

    what, bad = worse(prompt, starter)
    first = Told(f"worse: {what}", "REGRESSION", await promoted(bad, home))
    few = work / f"{name}-few" / name
    cut(library.folder(name), few, prompt, FEW)
    second = Told(f"equal: one word more, {FEW} cases", "NOT ENOUGH EVIDENCE", await promoted(reworded(prompt), few))
    other = work / f"{name}-worse" / name
    shutil.copytree(home, other)
    await promoted(bad, other, accept="the baseline of this story")
    lost = name in LOSES_A_CLASS and cases is None
    third = Told(
        f"better{' but for one class' if lost else ''}: the promoted prompt, compared with it {what}",
        "REGRESSION" if lost else "PASS",
        await promoted(loads(prompt.text), other),
    )
    return [first, second, third]


def markdown(stories: dict[str, Sequence[Told]]) -> str:
    """The page."""
    lines = [
        "# Promotion reports",
        "",
        "Made by `make promotion-reports`, which runs every one of these promotions: per prompt a draft that is worse "
        "on purpose, an equal one on twelve cases, and a better one. Each text is what the pull request would say.",
        "",
        "| prompt | draft | verdict | written |",
        "|---|---|---|---|",
    ]
    for name, told in stories.items():
        lines += [f"| {name} | {each.title} | {each.done.verdict.word} | {each.done.written} |" for each in told]
    for told in stories.values():
        for each in told:
            heading, _, rest = each.done.text.partition("\n")
            lines += ["", f"## {heading.removeprefix('### ')}, {each.title}", rest.rstrip()]
    return "\n".join(lines) + "\n"


async def run(names: Sequence[str]) -> dict[str, Sequence[Told]]:
    """Every story, one after the other."""
    settings = settings_module.load()
    engines, library = Engines(settings), Library(settings.data_dir)
    with tempfile.TemporaryDirectory() as folder:
        try:
            return {name: await story(name, library, engines, Path(folder)) for name in names}
        finally:
            await engines.stop(0)


def main() -> None:
    """Run and write the page. Then an unexpected verdict ends the run with an error."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.promotion_reports", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--only", default=",".join(NAMES))
    stories = asyncio.run(run(parser.parse_args().only.split(",")))
    DOCS.mkdir(exist_ok=True)
    (DOCS / "promotion-reports.md").write_text(markdown(stories), encoding="utf-8")
    wrong = [
        f"{name}, {each.title}: {each.done.verdict.word}"
        for name, told in stories.items()
        for each in told
        if each.done.verdict.word != each.expected
    ]
    print((DOCS / "promotion-reports.md").read_text(encoding="utf-8").split("\n## ")[0])
    if wrong:
        raise SystemExit("not as expected: " + "; ".join(wrong))


if __name__ == "__main__":
    main()
