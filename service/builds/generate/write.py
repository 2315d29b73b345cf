"""The file writer: a capable model writes whole files, or edits of the files that are there.

In: a job, and a function that asks. Out: the files. The answer is plain text, which small models write better than
JSON: a line `FILE: path`, then the content in a fence.

Not here: parsing the answer (`answer_parser`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from service.builds.generate import (
    AskModel,
    Job,
    TruncatedAnswer,
    UnusableAnswer,
    describe_attachments,
    describe_checks,
    shorten,
)
from service.builds.generate.answer_parser import KEPT, parse_answer
from service.builds.generate.blocks.page import PIECES
from service.builds.generate.completeness import close_page, is_truncated
from service.builds.generate.edits import PAGE
from service.builds.generate.scaffold import STYLE, style
from service.errors import PromptTooLong
from service.prompts.run import Result

COPIED_WHOLE, COPIED = 40, 60  # characters, without blanks, of a whole expression and of a statement in it


def ask_within(characters: int, ask: Callable[[int], Result]) -> Result:
    """Ask with a third of the characters for each of three texts. If that is too long, with half of it, then a quarter.

    Raises:
        PromptTooLong: if a quarter is too long for the model's context too.
    """
    for part in (1, 2):
        try:
            return ask(characters // 3 // part)
        except PromptTooLong:
            continue
    return ask(characters // 3 // 4)


class FileWriter:
    """The maker for models that can write.

    `characters`: the most text of brief, checks and attachments in a prompt. If it is too long for the model, half of
    it is sent, then a quarter. `automation`: the model may write files that CI, Git or an editor runs or obeys.
    """

    def __init__(self, characters: int, *, automation: bool = False) -> None:
        self.characters = characters
        self.automation = automation

    def make(self, job: Job, ask: AskModel) -> dict[str, bytes]:
        """New files, or edits of the previous ones. If an edit cannot be used, the files are written anew.

        Raises:
            UnusableAnswer: if the answer cannot be used.
            TruncatedAnswer: if the answer was cut.
        """
        previous = job.previous if job.previous is not None else editable_attachments(job)
        if not any(path.lower().endswith((".html", ".htm")) for path in previous):
            return self._whole(job, ask, previous)
        prompt = "build-repair" if job.failures else "build-edit"
        try:
            result = self._ask(prompt, job, ask, previous, {"files": files_prompt(previous)} | self._failures(job))
        except (
            PromptTooLong
        ):  # half a file would be answered with half a file, so the files are shown whole or not at all
            return self._whole(job, ask, previous)
        try:
            return self._answered(result, job, previous)
        except TruncatedAnswer:
            raise
        except UnusableAnswer as error:
            if job.failures:
                raise
            return self._whole(replace(job, refused=(*job.refused, str(error))), ask, previous)

    def _whole(self, job: Job, ask: AskModel, previous: Mapping[str, bytes]) -> dict[str, bytes]:
        result = self._ask("build-files", job, ask, {}, {})
        return self._answered(result, job, previous)

    def _answered(self, result: Result, job: Job, previous: Mapping[str, bytes]) -> dict[str, bytes]:
        kept = {attachment.name for attachment in job.kept}
        require_no_check(result.text, (*job.expressions, *job.kept_checks))
        return _with_page(files_in_answer(result, previous, kept, automation=self.automation), previous)

    def _ask(
        self, prompt: str, job: Job, ask: AskModel, previous: Mapping[str, bytes], more: Mapping[str, str]
    ) -> Result:
        beside = tuple(attachment for attachment in job.attachments if attachment.name not in previous)

        def told(share: int) -> dict[str, str]:
            return {
                "brief": self._brief(job, share, failures=not more.get("failures")),
                "checks": describe_checks((*job.checks, *job.kept_checks), share),
                "attachments": describe_attachments(beside, share, job.sources),
            }

        return ask_within(self.characters, lambda share: ask(prompt, {**told(share), **more}))

    def _brief(self, job: Job, characters: int, *, failures: bool) -> str:
        """The brief, with the earlier rounds, and with the reason why the last answer could not be used."""
        text = shorten(job.brief, characters)
        if job.earlier:
            rounds = "\n".join(f"Round {earlier.round}: {earlier.brief}" for earlier in reversed(job.earlier))
            text += f"\n\nKeep what was asked for before:\n{shorten(rounds, characters // 2)}"
        return text + what_was_wrong([*job.failures, *refusals(job)] if failures else [])

    def _failures(self, job: Job) -> dict[str, str]:
        wrong = [*refusals(job), *job.failures]
        return {"failures": shorten("\n".join(f"- {failure}" for failure in wrong), 1500)} if job.failures else {}


def require_no_check(text: str, expressions: tuple[str, ...]) -> None:
    """Refuse a text that holds the code of a check. A page with it judges itself.

    Raises:
        UnusableAnswer: if it does.
    """
    plain = re.sub(r"\s+", "", text)
    for expression in expressions:
        code = re.sub(r"\s+", "", expression)
        parts = [code, *(part for part in code.split(";") if len(part) >= COPIED)]
        if any(len(part) >= COPIED_WHOLE and part in plain for part in parts):
            raise UnusableAnswer("The page holds the code of a check. Write the app, and leave the checks out.")


def what_was_wrong(sentences: list[str]) -> str:
    """The end of a brief that tells these, or nothing."""
    if not sentences:
        return ""
    return "\n\nMend what was wrong before:\n" + shorten("\n".join(f"- {one}" for one in sentences), 600)


def refusals(job: Job) -> list[str]:
    """Why the last answer could not be used, as a sentence for the next question."""
    return [f"Your last answer could not be used: {reason}" for reason in job.refused[-1:]]


def editable_attachments(job: Job) -> dict[str, bytes]:
    """The attachments that a first round changes, as its previous files."""
    kept = {attachment.name for attachment in job.kept}
    texts = [attachment for attachment in job.attachments if attachment.text is not None]
    return {attachment.name: attachment.data for attachment in texts if attachment.name not in kept}


def _with_page(app: dict[str, bytes], previous: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files with an index.html: a copy of the only page, if that has another name."""
    pages = [path for path in app if path.lower().endswith((".html", ".htm"))]
    if PAGE in app or PAGE in previous or len(pages) != 1:
        return app
    return {**app, PAGE: app[pages[0]]}


def files_prompt(previous: Mapping[str, bytes]) -> str:
    """The whole text files that a maker may change, in the form of an answer."""
    blocks = []
    for path, data in sorted(previous.items(), key=lambda item: (item[0] != "index.html", item[0])):
        ours = (path == STYLE and data == style()) or path == PIECES or path.startswith("vendor/")
        if path.lower() in KEPT or path == "README.md" or ours or b"\0" in data:
            continue
        text = data.decode("utf-8", "replace")
        kind = path.rsplit(".", 1)[-1] if "." in path else ""
        blocks.append(f"FILE: {path}\n```{kind}\n{text}{'' if text.endswith(chr(10)) else chr(10)}```")
    return "\n\n".join(blocks)


def files_in_answer(
    result: Result, previous: Mapping[str, bytes], attached: set[str], *, automation: bool = False
) -> dict[str, bytes]:
    """The files that an answer gives or changes.

    Raises:
        UnusableAnswer: with a sentence that the model can act on.
        TruncatedAnswer: with the usable part of an answer that was cut.
    """
    if result.problem is not None:
        raise UnusableAnswer(result.problem)
    if result.answer.finish_reason != "length":
        return parse_answer(result.text, previous, attached, automation=automation)
    why = "The answer was cut before the files were whole; write less."
    if "<<<<<<<" in result.text:  # the missing edits belong to the others
        raise TruncatedAnswer(why, None)
    try:
        app = parse_answer(result.text, previous, attached, whole=False, automation=automation)
    except UnusableAnswer:
        raise TruncatedAnswer(why, None) from None
    if app and all(b"</html" in data for data in app.values()):
        return app  # only words or the last fence are missing
    pages = {path: close_page(data.decode()) for path, data in app.items() if is_truncated(path, data.decode())}
    if None in pages.values():
        raise TruncatedAnswer(why, None)
    raise TruncatedAnswer(why, {**app, **{path: text.encode() for path, text in pages.items() if text is not None}})
