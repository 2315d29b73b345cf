"""Writes the cases of the build prompts from `build_cases.yml`: `python -m data.make_build_cases` (needs Chromium).

A case holds the prompt's inputs and, for its checks, the expressions (`js`), the attachments (`given`) and the files
that are edited or repaired (`previous`). The failures in a repair case are real failures in a browser.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from service.builds.brief import Attachment
from service.builds.browser import Check
from service.builds.generate import Job, describe_attachments, patch
from service.builds.generate.script import elements_of, skeleton
from service.builds.generate.write import files_prompt
from service.builds.verify import find_browser, verify

HERE = Path(__file__).parent
Row = dict[str, Any]
PAGE = (
    '<!DOCTYPE html>\n<html lang="en">\n<head><title>{title}</title></head>\n<body>\n<main>\n{main}</main>\n'
    "<script>\n{script}</script>\n</body>\n</html>\n"
)


def told(js: list[str]) -> str:
    """Checks as a maker is told of them."""
    return "\n".join(f"- {each}" for each in js)


def files(source: Mapping[str, Any]) -> Iterator[Row]:
    """build-files: a brief, perhaps with attachments."""
    for row in source["build-files"]:
        given = row.get("given", {})
        kinds = {name: mimetypes.guess_type(name)[0] or "text/plain" for name in given}
        attached = tuple(Attachment(name, kinds[name], text.encode()) for name, text in given.items())
        inputs = {"brief": row["brief"], "checks": told(row["js"]), "attachments": describe_attachments(attached, 600)}
        yield {"id": row["id"], **inputs, "js": row["js"], "given": given}


def scripts(source: Mapping[str, Any]) -> Iterator[Row]:
    """build-script: the briefs of build-files and more, each with the page of its elements."""
    for row in [*files(source), *files({"build-files": source["build-script"]})]:
        given = tuple(Attachment(name, "text/plain", text.encode()) for name, text in row["given"].items())
        job = Job("", row["brief"], (), given, "", 2026, expressions=tuple(row["js"]))
        page = skeleton(job)
        yield {**row, "html": elements_of(page), "previous": {"index.html": page}}


def edits(source: Mapping[str, Any]) -> Iterator[Row]:
    """build-edit: a page that works, and a new wish."""
    for row in source["build-edit"]:
        yield changed(row, source["pages"][row["page"]])


def repairs(source: Mapping[str, Any]) -> Iterator[Row]:
    """build-repair: a page that was broken on purpose, and its failures."""
    browser, why = find_browser(None)
    assert browser is not None, why
    for row in source["build-repair"]:
        page = source["pages"][row["page"]]
        if "broken" in row:
            assert row["broken"]["from"] in page, row["id"]
            page = page.replace(row["broken"]["from"], row["broken"]["to"])
        site = {"index.html": page.encode(), "style.css": b""}
        checks = [Check(each, each) for each in row["js"]]
        report = verify(site, checks, [], browser=browser, timeout_s=30.0)
        failed = [f"{each.said}: {each.reason}" for each in report.outcomes if each.js and each.verdict == "failed"]
        assert failed, f"{row['id']} is not broken"
        yield {**changed(row, page), "failures": told(failed)}


def patches(source: Mapping[str, Any]) -> Iterator[Row]:
    """build-patch: a page that lacks one rule. Its texts were seen in a browser."""
    browser, why = find_browser(None)
    assert browser is not None, why
    for row in source["build-patch"]:
        page = PAGE.format(title=row["id"], main=row["html"], script=row.get("script", ""))
        checks = [Check(each, each) for each in row["js"]]
        report = verify({"index.html": page.encode()}, checks, [], browser=browser, timeout_s=30.0)
        failed = [each for each in report.outcomes if each.js and each.verdict == "failed"]
        assert failed, f"{row['id']} lacks no rule"
        told = patch.inputs(page, row["rule"], failed[0].reason)
        yield {"id": row["id"], **told, "js": row["js"], "previous": {"index.html": page}}


def changed(row: Mapping[str, Any], page: str) -> Row:
    """The part that edits and repairs have in common."""
    site = {"index.html": page}
    inputs = {"brief": row["brief"], "checks": told(row["js"]), "attachments": "none"}
    return {
        "id": row["id"],
        **inputs,
        "files": files_prompt({"index.html": page.encode()}),
        "js": row["js"],
        "previous": site,
    }


def cases() -> dict[str, Iterator[Row]]:
    """The rows of each prompt's cases. Those of `build-repair` and `build-patch` open a browser when they are read."""
    source = yaml.safe_load((HERE / "build_cases.yml").read_text(encoding="utf-8"))
    sentences = ({"id": f"sentence-{n:02}", **row} for n, row in enumerate(source["check-to-js"], 1))
    plans = (
        {"id": f"plan-{n:02}", "brief": row, "attachments": "none"} for n, row in enumerate(source["build-plan"], 1)
    )
    return {
        "build-files": files(source),
        "build-script": scripts(source),
        "build-edit": edits(source),
        "build-repair": repairs(source),
        "build-patch": patches(source),
        "check-to-js": sentences,
        "build-plan": plans,
    }


def lines(rows: Iterator[Row]) -> str:
    """The rows as a file of cases."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main() -> None:
    """All files."""
    for name, rows in cases().items():
        (HERE / "prompts" / name / "cases.jsonl").write_text(lines(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
