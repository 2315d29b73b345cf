# ruff: noqa: E501 (a model's answer is one line)
"""The three tasks that the public evaluation really used, two rounds each, with a scripted model and local data.

The model is an OpenAI-compatible HTTP server that answers from a script. ShareVolume's answer is computed from the
data that the build fetched and told it, as a real model would have to. `run_task` posts the rounds to a service on real
ports and gives one row per round.
"""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from service.engine.pool import Engines
from service.engine.remote import RemoteEngine
from tests.builds.harness import SECRET, finished, posted, serving, settings_for
from tests.servers.evaluator import evaluator
from tests.servers.openai_server import OpenAIServer

Reply = Callable[[str, str], str]  # (the user message, the data server's base URL) -> answer
KINDS = {"You write": "files", "You change": "edit", "You repair": "repair", "Translate": "check", "You plan": "plan"}


@dataclass(frozen=True)
class Round:
    """A brief, and the model's answers. `checks` maps a sentence to its translation."""

    brief: str
    checks: list[str | dict[str, str]]
    attachments: dict[str, bytes]
    write: Reply
    translations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A task of the public evaluation."""

    name: str
    rounds: tuple[Round, ...]


def block(path: str, text: str) -> str:
    return f"FILE: {path}\n```\n{text.rstrip()}\n```\n"


def page(title: str, body: str, script: str = "") -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<link rel="stylesheet" href="style.css">\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}\n</main>\n'
        f"<script>\n{script}\n</script>\n</body>\n</html>"
    )


# ShareVolume: build-time data, and the page fetches another company's when it is asked to.

IDS = ("share-entity-name", "share-max-value", "share-max-fy", "share-min-value", "share-min-fy")
PATH = "/api/xbrl/companyconcept/CIK{}/dei/EntityCommonStockSharesOutstanding.json"
COMPANIES = {
    "0000066740": ("3M Company", [("2020", 577), ("2021", 578), ("2022", 554), ("2023", 552), ("2024", 544)]),
    "0001018724": ("Amazon.com, Inc.", [("2021", 507), ("2022", 10201), ("2023", 10387)]),
}
SHARES = """const show = (name, max, min) => {
  const put = (id, text) => { document.getElementById(id).textContent = text; };
  put("share-entity-name", name);
  put("share-max-value", max.val); put("share-max-fy", max.fy);
  put("share-min-value", min.val); put("share-min-fy", min.fy);
  document.title = name;
};
const cik = new URLSearchParams(location.search).get("CIK");
if (cik) {
  fetch(`BASE/api/xbrl/companyconcept/CIK${cik}/dei/EntityCommonStockSharesOutstanding.json`)
    .then((response) => response.json())
    .then((found) => {
      const rows = found.units.shares.filter((row) => row.fy > "2020" && typeof row.val === "number");
      rows.sort((a, b) => a.val - b.val);
      show(found.entityName, rows.at(-1), rows[0]);
    });
} else {
  fetch("./data.json").then((response) => response.json()).then((data) => show(data.entityName, data.max, data.min));
}"""


def company(cik: str) -> dict[str, Any]:
    """As data.sec.gov answers, with one row that must be left out because its value is no number."""
    name, rows = COMPANIES[cik]
    values: list[dict[str, Any]] = [{"fy": fy, "val": val} for fy, val in rows]
    return {"entityName": name, "units": {"shares": [*values, {"fy": "2022", "val": None}]}}


def shares(told: str, base: str) -> str:
    """The model reads the data that it was told, and writes data.json from it."""
    found = json.loads(re.search(r"^\{.*\}$", told, re.MULTILINE)[0])  # type: ignore[index]
    rows = [row for row in found["units"]["shares"] if row["fy"] > "2020" and isinstance(row["val"], int)]
    most, least = max(rows, key=lambda row: row["val"]), min(rows, key=lambda row: row["val"])
    data = {"entityName": found["entityName"], "max": most, "min": least}
    body = "\n".join(f'<p>{each}: <b id="{each}"></b></p>' for each in IDS)
    return block("index.html", page("Shares", body, SHARES.replace("BASE", base))) + block(
        "data.json", json.dumps(data)
    )


ORDERED = "data.json max.val is greater than or equal to min.val"
VALUES = "fetch('./data.json').then(r => r.json()).then(d => d.max.val >= d.min.val)"
SHARE_VOLUME = Task(
    "ShareVolume",
    (
        Round(
            f'Fetch BASE{PATH.format("0000066740")} with a descriptive User-Agent. Filter for fy > "2020" and numeric '
            "val, and save data.json with entityName, max (val, fy) and min (val, fy). index.html shows them in elements "
            f"with ids {', '.join(IDS)}. With ?CIK= in the URL it fetches that company's data instead. Also commit the "
            "attachment uid.txt as-is.",
            [
                "uid.txt matches the attached uid.txt",
                "LICENSE contains the MIT License text",
                ORDERED,
                {"js": "document.querySelector('#share-entity-name').textContent === '3M Company'"},
                {"js": "document.querySelector('#share-max-value').textContent === '578'"},
                {"js": "document.querySelector('#share-min-fy').textContent === '2024'"},
                {
                    "js": "new Promise((done) => { const frame = document.createElement('iframe'); "
                    "frame.src = './index.html?CIK=0001018724'; document.body.append(frame); "
                    "setTimeout(() => done(frame.contentDocument.title === 'Amazon.com, Inc.'), 1500); })"
                },
            ],
            {"uid.txt": b"5210116c-uid\n"},
            shares,
            {ORDERED: VALUES},
        ),
        Round(
            "Also link to the source of the data from an element with id source.",
            [{"js": "document.querySelector('a#source').href.includes('companyconcept')"}, ORDERED],
            {},
            lambda told, base: (
                "<<<<<<< SEARCH index.html\n<h1>Shares</h1>\n=======\n<h1>Shares</h1>\n"
                f'<p><a id="source" href="{base}{PATH.format("0000066740")}">Source</a></p>\n>>>>>>> REPLACE\n'
            ),
            {ORDERED: VALUES},
        ),
    ),
)

# LLMPages: nine files, some of which must have a shape.

STORY = " ".join(f"Ashravan said again that word number {number} was true." for number in range(1, 36))
DILEMMA = {"people": 2, "case_1": {"swerve": False, "reason": "x"}, "case_2": {"swerve": True, "reason": "y"}}
LLM_FILES = {
    "index.html": page("Pages", '<ul><li><a href="ashravan.txt">Story</a><li><a href="dilemma.json">Dilemma</a></ul>\n<p><img src="pelican.svg" alt="A pelican on a bicycle"></p>'),
    "ashravan.txt": STORY,
    "dilemma.json": json.dumps(DILEMMA),
    "about.md": "Curious careful kind",
    "pelican.svg": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle cx="4" cy="4" r="3"/></svg>',
    "restaurant.json": json.dumps({"city": "Bern", "lat": 46.95, "long": 7.45, "name": "Aare", "what_to_eat": "Rösti"}),
    "prediction.json": json.dumps({"rate": 4.1, "reason": "Because."}),
}  # fmt: skip
LLM_SAID = {
    "ashravan.txt has 300-400 words": "fetch('./ashravan.txt').then(r => r.text()).then(t => { const n = t.trim().split(/\\s+/).length; return n >= 300 && n <= 400; })",
    "dilemma.json has swerve and reason for both cases": "fetch('./dilemma.json').then(r => r.json()).then(d => [d.case_1, d.case_2].every(c => typeof c.swerve === 'boolean' && c.reason))",
    "about.md has three words": "fetch('./about.md').then(r => r.text()).then(t => t.trim().split(/\\s+/).length === 3)",
    "pelican.svg is a valid image": "new Promise(done => { const i = new Image(); i.onload = () => done(true); i.onerror = () => done(false); i.src = './pelican.svg'; })",
    "index.html links to every text": "['ashravan.txt', 'dilemma.json'].every(f => document.querySelector(`a[href='${f}']`))",
}  # fmt: skip
PROPHECY = "prediction.json has a rate of 3.9"
LLM_PAGES = Task(
    "LLMPages",
    (
        Round(
            "Publish ashravan.txt (300-400 words), dilemma.json, about.md (three words), pelican.svg, restaurant.json, "
            "prediction.json, index.html that links to them, LICENSE and uid.txt as attached.",
            ["uid.txt matches the attached uid.txt", *LLM_SAID],
            {"uid.txt": b"uid-of-llm-pages"},
            lambda told, base: "\n".join(block(path, text) for path, text in LLM_FILES.items()),
            LLM_SAID,
        ),
        Round(
            "Change the rate of prediction.json to 3.9.",
            [PROPHECY, *LLM_SAID],
            {},
            lambda told, base: block("prediction.json", json.dumps({"rate": 3.9, "reason": "Because."})),
            {**LLM_SAID, PROPHECY: "fetch('./prediction.json').then(r => r.json()).then(d => d.rate === 3.9)"},
        ),
    ),
)

# Analyze: a script with a typo, a binary attachment, a workflow file.


def workbook() -> bytes:
    """A minimal XLSX. Only its bytes matter."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("[Content_Types].xml"), '<Types xmlns="x"/>')
        archive.writestr(zipfile.ZipInfo("xl/worksheets/sheet1.xml"), "<worksheet/>" + "\0\xff" * 20)
    return buffer.getvalue()


EXECUTE = 'import csv\nimport json\n\nrows = list(csv.DictReader(open("data.csv")))\nprint(json.dumps({"revenue": sum(float(row["revenew"]) for row in rows)}))\n'  # fmt: skip
FIXED = EXECUTE.replace("revenew", "revenue")
CI = "name: ci\non: push\njobs:\n  run:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - run: ruff check .\n      - run: python execute.py > result.json\n"
TYPO = 'execute.py does not contain the typo "revenew"'
RAN = "GitHub Actions ran for this commit and logs show ruff + execute.py"
ANALYZE_SAID = {
    TYPO: "fetch('./execute.py').then(r => r.text()).then(t => !t.includes('revenew'))",
    "data.csv is there": "fetch('./data.csv').then(r => r.ok)",
    "result.json is not committed": "fetch('./result.json').then(r => r.status === 404)",
    ".github/workflows/ci.yml runs ruff": "fetch('./.github/workflows/ci.yml').then(r => r.text()).then(t => t.includes('ruff'))",
}  # fmt: skip
ANALYZE = Task(
    "Analyze",
    (
        Round(
            "Fix the typo in execute.py. Convert data.xlsx to data.csv. Add .github/workflows/ci.yml that runs ruff and "
            "python execute.py > result.json. Do not commit result.json.",
            [*ANALYZE_SAID, RAN],
            {"execute.py": EXECUTE.encode(), "data.xlsx": workbook()},
            lambda told, base: (
                block("index.html", page("Analyze", '<p><a href="data.csv">Data</a></p>'))
                + block("execute.py", FIXED)
                + block("data.csv", "month,revenue\nMay,10.5\nJune,20")
                + block(".github/workflows/ci.yml", CI)
            ),
            ANALYZE_SAID,
        ),
        Round(
            "Print the mean as well: fix execute.py so that its result has the key mean.",
            [*ANALYZE_SAID, "execute.py prints a mean"],
            {},
            lambda told, base: (
                '<<<<<<< SEARCH execute.py\nprint(json.dumps({"revenue": sum(float(row["revenue"]) for row in rows)}))\n'
                '=======\nvalues = [float(row["revenue"]) for row in rows]\n'
                'print(json.dumps({"revenue": sum(values), "mean": sum(values) / len(values)}))\n>>>>>>> REPLACE\n'
            ),
            {
                **ANALYZE_SAID,
                "execute.py prints a mean": "fetch('./execute.py').then(r => r.text()).then(t => t.includes('mean'))",
            },
        ),
    ),
)
TASKS = (SHARE_VOLUME, LLM_PAGES, ANALYZE)


@contextmanager
def data_server() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A copy of SEC's routes for two companies. Yields its base URL, and (path, user agent) of every request."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("user-agent", "")))
            cik = re.search(r"CIK(\d{10})/", self.path)
            known = cik is not None and cik[1] in COMPANIES
            data = json.dumps(company(cik[1]) if cik and known else {}).encode()
            self.send_response(200 if known else 404)
            self.send_header("content-type", "application/json")
            self.send_header("access-control-allow-origin", "*")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def answers(rounds: tuple[Round, ...], base: str) -> Callable[[dict[str, Any]], str]:
    """The scripted model: the system message decides its answer."""

    def reply(body: dict[str, Any]) -> str:
        system, user = body["messages"][0]["content"], body["messages"][-1]["content"]
        kind = next(kind for start, kind in KINDS.items() if system.startswith(start))
        if kind == "check":
            known = {said: js for part in rounds for said, js in part.translations.items()}
            return json.dumps({"js": known.get(user, "null /* it cannot be told from the page */")})
        at = 0 if kind == "files" else 1
        return rounds[at].write(user, base)

    return reply


def run_task(task: Task, state: Path, local: str | None = None) -> Iterator[dict[str, Any]]:
    """Both rounds of a task, from the POST to the callback. Yields one row per round with the build's state.

    `local`: a model of the catalog that writes in the place of the scripted one.
    """
    with data_server() as (base, asked), OpenAIServer(answers(task.rounds, base)) as model, evaluator() as judge:
        remote = {} if local else {"engine": "remote", "remote_base_url": model.base_url}
        settings = settings_for(
            state,
            **remote,
            maker="auto",
            build_network=base.removeprefix("http://"),
            build_automation=True,  # one of the tasks asks for a workflow
        )
        engine = Engines(settings).get(local) if local else RemoteEngine(settings, "scripted")
        with serving(settings, engine) as client:
            for number, each in enumerate(task.rounds, 1):
                body = {
                    "email": "student@example.com",
                    "secret": SECRET,
                    "task": task.name,
                    "round": number,
                    "nonce": f"n-{number}",
                    "brief": each.brief.replace("BASE", base),
                    "checks": each.checks,
                    "evaluation_url": judge.url,
                    "attachments": [
                        {"name": name, "url": "data:;base64," + base64.b64encode(data).decode()}
                        for name, data in each.attachments.items()
                    ],
                }
                began = time.monotonic()
                shown = finished(client, posted(client, body)["job_id"], settings.build_deadline_s + 60)
                outcomes = (shown["outcome"] or {}).get("report", {}).get("outcomes", [])
                count = {word: sum(one["verdict"] == word for one in outcomes) for word in ("passed", "failed")}
                repository = state / "repositories"
                yield {
                    "task": task.name,
                    "round": number,
                    "files": files_in(repository),
                    **count,
                    "not_judged": [one["said"] for one in outcomes if one["verdict"] == "not judged"],
                    "seconds": time.monotonic() - began,
                    "build": shown,
                    "fetched": list(asked),
                }


def files_in(repositories: Path) -> int:
    """How many files the one repository's branch holds. None are there if nothing was pushed."""
    repository = next(repositories.glob("*.git"), None)
    if repository is None:
        return 0
    command = ["git", "--git-dir", str(repository), "ls-tree", "-r", "--name-only", "main"]
    return len(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines())
