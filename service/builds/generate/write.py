"""Write files: a capable model writes whole files, or edits of the files that are there.

In: a job, and a function that asks. Out: the files. The answer's form is plain text that small models keep to better
than JSON: a line `FILE: path`, then the content in a fence. Not here: how an answer is read (`reading`).
"""

from __future__ import annotations

from collections.abc import Mapping

from service.builds.generate import Ask, Cut, Job, Unusable, cut, offered
from service.builds.generate.excerpts import closed
from service.builds.generate.excerpts import cut as cut_page
from service.builds.generate.frame import STYLE, style
from service.builds.generate.reading import KEPT, read
from service.errors import PromptTooLong
from service.prompts.run import Result


class Write:
    """The maker for models that can write. `characters` is how much of brief, checks and attachments is told at most;
    where even that is too long for the model, half of it, and half again. `automation` lets the model write what CI,
    Git or an editor runs or obeys."""

    def __init__(self, characters: int, *, automation: bool = False) -> None:
        self.characters = characters
        self.automation = automation

    def make(self, job: Job, ask: Ask) -> dict[str, bytes]:
        """Files anew, or the previous ones edited; what cannot be edited is written anew."""
        if job.previous is None or "index.html" not in job.previous:
            return self._whole(job, ask)
        prompt = "build-repair" if job.failures else "build-edit"
        try:
            result = self._ask(prompt, job, ask, {"files": shown(job.previous)} | self._failures(job))
        except PromptTooLong:  # the files are shown whole or not at all: half a file would be answered with half a file
            return self._whole(job, ask)
        try:
            return answered(result, job.previous, {each.name for each in job.kept}, automation=self.automation)
        except Unusable:
            if job.failures:
                raise
            return self._whole(job, ask)

    def _whole(self, job: Job, ask: Ask) -> dict[str, bytes]:
        result = self._ask("build-files", job, ask, {})
        return answered(result, {}, {each.name for each in job.kept}, automation=self.automation)

    def _ask(self, prompt: str, job: Job, ask: Ask, more: Mapping[str, str]) -> Result:
        for part in (1, 2, 4):
            share = self.characters // 3 // part
            checks = "\n".join(f"- {check}" for check in job.checks) or "none"
            told = {
                "brief": cut(job.brief, share),
                "checks": cut(checks, share),
                "attachments": offered(job.attachments, share, job.sources),
            }
            try:
                return ask(prompt, {**told, **more})
            except PromptTooLong:
                if part == 4:
                    raise
        raise AssertionError("the last part returns or raises")

    def _failures(self, job: Job) -> dict[str, str]:
        return {"failures": cut("\n".join(f"- {each}" for each in job.failures), 1500)} if job.failures else {}


def shown(previous: Mapping[str, bytes]) -> str:
    """The text files that a maker may change, whole, as it would write them."""
    blocks = []
    for path, data in sorted(previous.items(), key=lambda item: (item[0] != "index.html", item[0])):
        if path.lower() in KEPT or path == "README.md" or (path == STYLE and data == style()) or b"\0" in data:
            continue
        text = data.decode("utf-8", "replace")
        kind = path.rsplit(".", 1)[-1] if "." in path else ""
        blocks.append(f"FILE: {path}\n```{kind}\n{text}{'' if text.endswith(chr(10)) else chr(10)}```")
    return "\n\n".join(blocks)


def answered(
    result: Result, previous: Mapping[str, bytes], attached: set[str], *, automation: bool = False
) -> dict[str, bytes]:
    """The files that an answer gives or changes. Raises Unusable with a sentence that the model can act on, and Cut
    with what can be used of an answer that was cut."""
    if result.problem is not None:
        raise Unusable(result.problem)
    if result.answer.finish_reason != "length":
        return read(result.text, previous, attached, automation=automation)
    why = "The answer was cut before the files were whole; write less."
    try:
        made = read(result.text, previous, attached, whole=False, automation=automation)
    except Unusable:
        raise Cut(why, None) from None
    pages = {path: closed(data.decode()) for path, data in made.items() if cut_page(path, data.decode())}
    if None in pages.values():
        raise Cut(why, None)
    raise Cut(why, {**made, **{path: text.encode() for path, text in pages.items() if text is not None}})
