"""The script writer: the page's elements come from the brief, and a capable model writes their behaviour.

In: a job, and a function that asks. Out: `index.html` with the ids, kinds and first values that the brief tells, and
`script.js` of the model. So the ids are those of the brief, and the model writes less than half as much as for a whole
page (0.44 of its tokens, in the recordings).

Not here: reading the brief (`blocks.reading`), whole pages and repairs (`write`).
"""

from __future__ import annotations

import re

from service.builds.generate import (
    AskModel,
    Job,
    TruncatedAnswer,
    UnusableAnswer,
    describe_attachments,
    describe_checks,
    shorten,
)
from service.builds.generate.blocks import page
from service.builds.generate.blocks.titles import title
from service.builds.generate.pieces import reading
from service.builds.generate.write import ask_within, files_in_answer, require_no_check

PAGE, SCRIPT = "index.html", "script.js"
LEAST_ELEMENTS = 2  # a brief that names fewer says too little about its page


class ScriptWriter:
    """The maker for models that can write, for briefs that name the elements of their page.

    `characters`: the most text of brief, checks and attachments in a prompt. If it is too long for the model, half of
    it is sent, then a quarter.
    """

    def __init__(self, characters: int) -> None:
        self.characters = characters

    def make(self, job: Job, ask: AskModel) -> dict[str, bytes]:
        """The page and its script.

        Raises:
            UnusableAnswer: if the answer cannot be used.
            PromptTooLong: if the page does not fit into the model's context.
        """
        html = skeleton(job)
        more = {"html": elements_of(html)}

        def told(share: int) -> dict[str, str]:
            return {
                "brief": shorten(job.brief, share),
                "checks": describe_checks(job.checks, share),
                "attachments": describe_attachments(job.attachments, share, job.sources),
            }

        result = ask_within(self.characters, lambda share: ask("build-script", {**told(share), **more}))
        require_no_check(result.text, (*job.expressions, *job.kept_checks))
        site = {PAGE: html.encode()}
        try:
            written = files_in_answer(result, site, {attachment.name for attachment in job.kept})
        except TruncatedAnswer as error:  # half a script does nothing
            raise UnusableAnswer(error.message) from None
        if SCRIPT not in written:
            raise UnusableAnswer(f"The answer has no {SCRIPT}, and the page does nothing without it. Write {SCRIPT}.")
        return {**site, **written}


def fits(job: Job) -> bool:
    """Whether there is no page yet, no attachment has a name of ours, and the brief names enough elements."""
    there = {*(job.previous or {}), *(attachment.name for attachment in job.attachments)}
    if job.earlier or there & {PAGE, SCRIPT}:
        return False
    return len(reading(job).elements) >= LEAST_ELEMENTS


def skeleton(job: Job) -> str:
    """The page with the elements of the brief, which loads `script.js`."""
    read = reading(job)
    return page.html(read, {"title": title(job.brief, job.title), "pieces": []}, script=SCRIPT)


def elements_of(html: str) -> str:
    """The part of a skeleton that the model needs: its elements without the title, and its libraries.

    Of more than six options of a select there are the first two, the chosen one and the last one.
    """
    main = re.search(r"<main>\n(?:<h1>[^<]*</h1>\n)?(.*?)\n</main>", html, re.DOTALL)
    libraries = re.findall(r'<script src="vendor/[^"]+"></script>', html)
    options = re.compile(r"<option .*?</option>")

    def shortened(match: re.Match[str]) -> str:
        every = options.findall(match[0])
        chosen = [part for one in every[2:-1] if " selected>" in one for part in (one, "…")]
        return "".join([*every[:2], "…", *chosen, every[-1]])

    parts = re.sub(r"(?:<option [^<]*</option>){7,}", shortened, main[1]) if main else ""
    return "\n".join([*([parts] if main else []), *libraries])
