"""Plan and render: the model fills a small typed plan under a grammar, our template makes the page.

In: a job, and a function that asks. Out: one page.

The grammar makes every model's plan valid, and the template makes the page accessible and responsive. The page
describes the task and shows the attachments. It is no app that computes.

Not here: the files of an app (`write`).
"""

from __future__ import annotations

import csv
import io
import re
from typing import Any

from service.builds.generate import AskModel, Job, UnusableAnswer, describe_attachments, shorten
from service.builds.generate.blocks.titles import title
from service.builds.generate.scaffold import templates

TABLE_ROWS = 200
SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
CLAIM = re.compile(
    r"\b(?:am|is|are|was|were|be|has|have|had|can|will|must|does|do|holds?|shows?|gives?|says?|gets?|makes?)\b", re.I
)
SMALL = {  # words that say nothing themselves
    "a", "an", "the", "of", "with", "its", "and", "or", "for", "to", "in", "on", "at", "by", "from", "as", "it", "this",
    "that", "is", "are", "be", "page", "site", "app", "which", "where", "when", "what", "has", "have", "can", "will",
}  # fmt: skip
BRIEF_CHARACTERS = 2000


class PlanRenderer:
    """The maker for every model."""

    def make(self, job: Job, ask: AskModel) -> dict[str, bytes]:
        """One page from the model's plan.

        Raises:
            UnusableAnswer: if the plan cannot be used.
        """
        inputs = {
            "brief": shorten(job.brief, BRIEF_CHARACTERS),
            "attachments": shorten(describe_attachments(job.attachments, 600), 800),
        }
        result = ask("build-plan", inputs)
        if result.problem is not None or not isinstance(result.value, dict):
            raise UnusableAnswer(f"The plan cannot be used: {result.problem or 'it is no object'}.")
        return {"index.html": page(job, of_the_brief(result.value, job))}


def of_the_brief(plan: dict[str, Any], job: Job) -> dict[str, Any]:
    """The plan without sentences that say more than a sentence of the brief. Its title is the brief's.

    A sentence stays if one sentence of the brief, or the list of its files, has each of its words. One with a verb
    needs them in the same order, because other orders of the same words are other claims.
    """
    told = [_words(part) for part in SENTENCE.split(job.brief)]
    told += [_words(job.title), _words(" ".join(file.name for file in job.attachments))]

    def is_told(sentence: str) -> bool:
        words = _words(sentence)
        claims = CLAIM.search(sentence) is not None
        return any(_in_order(words, own) if claims else set(words) <= set(own) for own in told)

    def kept(text: str) -> str:
        return " ".join(part.strip() for part in re.findall(r"[^.!?]+(?:[.!?]+|$)", text.strip()) if is_told(part))

    sections = [{"heading": kept(section["heading"]), "text": kept(section["text"])} for section in plan["sections"]]
    return {
        **plan,
        "title": title(job.brief, job.title),
        "summary": kept(plan["summary"]) or "A page for the brief below.",
        "sections": [section for section in sections if section["heading"] and section["text"]],
    }


def _words(text: str) -> list[str]:
    """Its words without their endings, its ids and its numbers. Words that say nothing themselves are left out."""
    words = re.findall(r"#?[^\W_](?:[\w'’-]*[^\W_])?", text.lower())
    return [word if word[0] == "#" else word[:5] for word in words if word not in SMALL]


def _in_order(words: list[str], told: list[str]) -> bool:
    rest = iter(told)
    return all(word in rest for word in words)


def without_model(job: Job) -> dict[str, bytes]:
    """The page if no model answered: the brief, and a sentence that says so."""
    plan = {
        "title": title(job.brief, job.title),
        "summary": "No model answered in time, so this page only says what was asked for.",
        "sections": [],
        "language": "en",
    }
    return {"index.html": page(job, plan)}


def page(job: Job, plan: dict[str, Any]) -> bytes:
    """The plan as HTML."""
    attachments = [
        {
            "name": file.name,
            "rows": _rows(file.text) if file.text and file.name.lower().endswith(".csv") else None,
            "image": file.media_type.startswith("image/"),
            "text": shorten(file.text, 4000) if file.text else None,
        }
        for file in job.attachments
    ]
    plan = {"language": "en", **tidied(plan)}
    return templates().get_template("page.html.j2").render(plan=plan, job=job, attachments=attachments).encode()


def tidied(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan without repetitions, which small models write. A section without a new sentence is left out."""
    seen: set[str] = set()
    summary = _new(plan["summary"], seen)
    sections = [{**section, "text": _new(section["text"], seen)} for section in plan["sections"]]
    return {
        **plan,
        "summary": summary or plan["summary"],
        "sections": [section for section in sections if section["text"]],
    }


def _new(text: str, seen: set[str]) -> str:
    """The sentences that are not in `seen`. A last sentence that is cut off is left out if there are others."""
    sentences = re.findall(r"[^.!?]+(?:[.!?]+|$)", text.strip())
    if len(sentences) > 1 and sentences[-1].strip()[-1:] not in (".", "!", "?"):
        sentences.pop()
    kept = []
    for sentence in sentences:
        key = re.sub(r"\W+", " ", sentence).strip().lower()
        if key and key not in seen:
            seen.add(key)
            kept.append(sentence.strip())
    return " ".join(kept)


def _rows(text: str) -> list[list[str]] | None:
    """The first rows of a CSV with its header, or None if it is no CSV."""
    try:
        rows = [row for row, _ in zip(csv.reader(io.StringIO(text)), range(TABLE_ROWS + 1), strict=False) if row]
    except csv.Error:
        return None
    return rows or None
