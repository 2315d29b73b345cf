"""Write the cases of the sentiment prompt: human-rated review snippets and tweets, a fixed sample, with ids.

    .venv/bin/python data/fetch_reviews.py [--out data/prompts/sentiment]

Source: the data sets that ship with vaderSentiment 3.3.2 (MIT) in `additional_resources/hutto_ICWSM_2014.tar.gz`:
C.J. Hutto and E.E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text",
ICWSM 2014. 3,708 Amazon review snippets and 4,200 tweets, each rated from -4 (extremely negative) to 4 (extremely
positive) by at least 20 people. The mean of their ratings is the file's second column.

The source distribution is fetched with pip, as it is configured here. pip checks the digest below before it opens it.

Labels: mean > 0.5 positive, mean < -0.5 negative, else neutral. The median standard error of a mean rating is 0.15, so
half a point is about three of them: a snippet beyond it is rarely there by chance.
Sample: per data set and label, the snippets of 20 to 300 characters in the order of sha256("sameboat" + id): a fixed
order that nobody chose. Reviews: the first 40 of each label are for writing the prompt (`dev.jsonl`), the next 100 are
the cases. Tweets: the first 20 of each label are a second slice. Classes are balanced by this sampling, so guessing one
label scores one third (of all 3,708 snippets 46.5 % are positive under these thresholds). Snippets are sentences: dev
and cases share none, but 72 of the 92 reviews that dev's snippets come from also supply cases.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import html
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "vaderSentiment==3.3.2"
SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
SETS = {
    "review": "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt",
    "tweet": "hutto_ICWSM_2014/tweets_GroundTruth.txt",
}
LABELS = ("positive", "negative", "neutral")
DEV, REVIEWS, TWEETS = 40, 100, 20
SHORTEST, LONGEST = 20, 300


def fetch() -> bytes:
    """The source distribution's bytes, from the package index that pip is configured for."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n", encoding="ascii")
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--no-cache-dir",
             "--disable-pip-version-check", "--require-hashes", "--dest", folder, "-r", str(wanted)], check=True,
        )  # fmt: skip
        return next(Path(folder).glob("*.tar.gz")).read_bytes()


def rows(data: bytes, name: str) -> list[tuple[str, float, str]]:
    """(id, mean rating, text) of one data set."""
    with tarfile.open(fileobj=io.BytesIO(data)) as outer:
        inner = outer.extractfile(INNER)
        assert inner is not None
        with tarfile.open(fileobj=io.BytesIO(inner.read())) as archive:
            file = archive.extractfile(SETS[name])
            assert file is not None
            lines = io.StringIO(file.read().decode("utf-8"))
    read = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    return [(f"{name}-{row[0]}", float(row[1]), html.unescape(row[2]).strip()) for row in read if len(row) == 3]


def label(mean: float) -> str:
    """The class of a mean rating."""
    return "positive" if mean > 0.5 else "negative" if mean < -0.5 else "neutral"


def sample(found: list[tuple[str, float, str]]) -> dict[str, list[dict[str, object]]]:
    """Per label, cases in their fixed order, each text once."""
    kept: dict[str, list[dict[str, object]]] = {name: [] for name in LABELS}
    seen: set[str] = set()
    for name, mean, text in sorted(found, key=lambda row: hashlib.sha256(f"sameboat{row[0]}".encode()).hexdigest()):
        if SHORTEST <= len(text) <= LONGEST and text not in seen:
            seen.add(text)
            case = {
                "id": name,
                "slice": name.split("-")[0],
                "text": text,
                "expected": label(mean),
                "rating": round(mean, 3),
            }
            kept[label(mean)].append(case)
    return kept


def write(path: Path, cases: list[dict[str, object]]) -> None:
    """One case a line, ordered by slice and id, so that a diff shows the changes."""
    ordered = sorted(cases, key=lambda case: (str(case["slice"]), str(case["id"])))
    path.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in ordered), encoding="utf-8")
    print(f"{path}: {len(ordered)} cases")


def main() -> None:
    """Fetch, sample, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "prompts" / "sentiment")
    out = parser.parse_args().out
    data = fetch()
    reviews, tweets = sample(rows(data, "review")), sample(rows(data, "tweet"))
    out.mkdir(parents=True, exist_ok=True)
    write(out / "dev.jsonl", [case for name in LABELS for case in reviews[name][:DEV]])
    cases = [case for name in LABELS for case in reviews[name][DEV : DEV + REVIEWS]]
    write(out / "cases.jsonl", cases + [case for name in LABELS for case in tweets[name][:TWEETS]])


if __name__ == "__main__":
    main()
