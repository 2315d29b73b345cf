"""Plan and render: the model fills a small typed plan under a grammar, our template makes the page.

The grammar makes the plan valid whatever the model; the template makes the page accessible and responsive. The page
says what it is and shows the attachments. It does not pretend to be an app that computes: for that a model must write.
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
        """One page from the model's plan."""
        inputs = {
            "brief": shorten(job.brief, BRIEF_CHARACTERS),
            "attachments": shorten(describe_attachments(job.attachments, 600), 800),
        }
        result = ask("build-plan", inputs)
        if result.problem is not None or not isinstance(result.value, dict):
            raise UnusableAnswer(f"The plan cannot be used: {result.problem or 'it is no object'}.")
        return {"index.html": page(job, result.value)}


def without_model(job: Job) -> dict[str, bytes]:
    """The page when no model answered: the brief itself, and that it is all there is."""
    plan = {
        "title": job.title,
        "summary": "No model answered in time, so this page only says what was asked for.",
        "sections": [],
        "language": "en",
    }
    return {"index.html": page(job, plan)}


def page(job: Job, plan: dict[str, Any]) -> bytes:
    """The plan as HTML."""
    shown = [
        {
            "name": each.name,
            "rows": _rows(each.text) if each.text and each.name.lower().endswith(".csv") else None,
            "image": each.media_type.startswith("image/"),
            "text": shorten(each.text, 4000) if each.text else None,
        }
        for each in job.attachments
    ]
    plan = {"language": "en", **tidied(plan)}
    return templates().get_template("page.html.j2").render(plan=plan, job=job, attachments=shown).encode()


def tidied(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan without what small models repeat: a sentence is shown once, and a section that says nothing new not."""
    seen: set[str] = set()
    summary = _new(plan["summary"], seen)
    sections = [{**each, "text": _new(each["text"], seen)} for each in plan["sections"]]
    return {**plan, "summary": summary or plan["summary"], "sections": [each for each in sections if each["text"]]}


def _new(text: str, seen: set[str]) -> str:
    """The sentences not seen so far; a last one that was cut off is left out where there are others."""
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
    """A CSV's first rows, header included, or None when it is none."""
    try:
        rows = [row for row, _ in zip(csv.reader(io.StringIO(text)), range(TABLE_ROWS + 1), strict=False) if row]
    except csv.Error:
        return None
    return rows or None
