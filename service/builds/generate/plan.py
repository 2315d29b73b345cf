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
from service.builds.generate.scaffold import templates

TABLE_ROWS = 200
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
    """The plan without sentences that say more than the brief and its files.

    A sentence stays if each of its words of four letters or more begins as a word of the brief.
    """
    told = {word[:5] for word in _words(f"{job.title} {job.brief} {' '.join(file.name for file in job.attachments)}")}

    def kept(text: str) -> str:
        sentences = re.findall(r"[^.!?]+(?:[.!?]+|$)", text.strip())
        return " ".join(part.strip() for part in sentences if {word[:5] for word in _words(part)} <= told)

    sections = [{"heading": kept(section["heading"]), "text": kept(section["text"])} for section in plan["sections"]]
    return {
        **plan,
        "title": kept(plan["title"]) or job.title,
        "summary": kept(plan["summary"]) or "A page for the brief below.",
        "sections": [section for section in sections if section["heading"] and section["text"]],
    }


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]{4,}", text.lower())


def without_model(job: Job) -> dict[str, bytes]:
    """The page if no model answered: the brief, and a sentence that says so."""
    plan = {
        "title": job.title,
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
