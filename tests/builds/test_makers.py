"""The makers: the files of an answer, the text of a question, and the next provider after a failure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.builds.brief import Attachment
from service.builds.generate import Job, UnusableAnswer, describe_attachments
from service.builds.generate.answer_parser import parse_answer
from service.builds.generate.attachment_rules import unchanged
from service.builds.generate.fetched_sources import fetched
from service.builds.generate.plan import of_the_brief, page, tidied
from service.builds.generate.providers import Providers
from service.builds.generate.scaffold import STYLE, add_scaffold, style, with_foot
from service.builds.generate.write import FileWriter
from service.engine.pool import Engines
from service.engine.providers_file import read_providers
from service.engine.types import Answer, Identity, Timings, Usage
from service.errors import PromptTooLong, SettingsError
from service.prompts.run import Result
from tests.builds.harness import PLAN, Unlocked, brief, finished, posted, serving, settings_for
from tests.scripted import ScriptedEngine
from tests.servers.evaluator import evaluator
from tests.servers.openai_server import OpenAIServer

pytestmark = pytest.mark.usefixtures("no_browser")
PAGE = "FILE: index.html\n```html\n<!DOCTYPE html>\n<title>made</title>\n<p id=count>0</p>\n```\n"
CSV = Attachment("a.csv", "text/csv", b"x,y\n1,2\n")
PNG = Attachment("b.png", "image/png", b"\x89PNG\0")
KEY = "sk-canary-provider-key"


def job(**more: Any) -> Job:
    values: dict[str, Any] = {"title": "T", "brief": "B", "checks": (), "attachments": (), "author": "a", "year": 2026}
    return Job(**(values | more))


def result(text: str, finish: str = "stop") -> Result:
    answer = Answer(text, (), finish, Usage(1, 1), Timings(0, 0, 0))  # type: ignore[arg-type]
    return Result(answer, "f", Identity("scripted", "1", "m", None, None))


def test_attachments_are_offered_by_name_type_size_and_text_in_bounds() -> None:
    """Text is shown from its beginning, with a note if it is cut. A picture has only name, type and size."""
    long = Attachment("long.txt", "text/plain", b"z" * 5000)
    text = describe_attachments((CSV, PNG, long), 300)
    assert "- a.csv (text/csv, 8 bytes), at ./a.csv\nx,y\n1,2" in text
    assert "- b.png (image/png, 5 bytes), at ./b.png\n" in text
    assert "4900 more characters are left out" in text
    assert describe_attachments((), 100) == "none"


def test_attachments_are_what_was_sent_unless_the_brief_says_to_change_them() -> None:
    """A model's own version of data.csv is dropped. That of the file that it was told to fix is taken."""
    both = (CSV, Attachment("run.py", "text/x-python", b"broken"))
    said = "Fix the typo in run.py and show a.csv."
    assert unchanged(said, both) == (CSV,)
    assert unchanged("Show a.csv and the update of it.", both) == both
    made = {"index.html": b"<p>", "a.csv": b"mine", "run.py": b"fixed"}
    files = add_scaffold(made, job(brief=said, attachments=both), "b", 1, "files")
    assert (files["a.csv"], files["run.py"]) == (CSV.data, b"fixed")


def test_what_every_repository_holds_is_there_whoever_wrote_the_page() -> None:
    """Licence, README, stamp. Our stylesheet only where the page links to it and its maker wrote none."""
    plain = add_scaffold({"index.html": b"<p>"}, job(), "b", 2, "files")
    assert {"LICENSE", "README.md", "build.json", ".nojekyll"} <= set(plain)
    assert STYLE not in plain
    linked = {"index.html": b'<link rel="stylesheet" href="style.css">'}
    assert add_scaffold(linked, job(), "b", 1, "files")[STYLE] == style()
    assert add_scaffold({**linked, STYLE: b"mine"}, job(), "b", 1, "files")[STYLE] == b"mine"


def test_a_plan_is_shown_without_its_repetitions() -> None:
    """A sentence that the smallest model repeats is shown once, and one that is cut off is left out."""
    plan = {
        "title": "Mars",
        "summary": "Mars is a planet.",
        "sections": [
            {"heading": "Mars", "text": "Mars is a planet. It is red. It is red. It i"},
            {"heading": "Again", "text": "It is red."},
        ],
    }
    assert tidied(plan)["sections"] == [{"heading": "Mars", "text": "It is red."}]


def test_a_rendered_page_has_what_accessibility_asks_for() -> None:
    """Language, title, viewport, one h1, landmarks, a caption and column headers, alternative texts, all escaped."""
    evil = {**PLAN, "title": "<script>alert(1)</script>"}
    html = page(job(attachments=(CSV, PNG)), evil).decode()
    assert "<script>" not in html
    for wanted in (
        '<html lang="en">', "<title>", 'name="viewport"', "<main>", "<header>", "<footer>",
        '<th scope="col">x</th>', "<caption>", 'alt="b.png"',
    ):  # fmt: skip
        assert wanted in html
    assert len(re.findall(r"<h1\b", html)) == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_our_colours_can_be_read(theme: str) -> None:
    """Every text colour has a contrast of 4.5 or more on its background (WCAG 2.2, 1.4.3)."""
    block = re.findall(r":root \{(.*?)\}", style().decode(), re.DOTALL)[0 if theme == "light" else 1]
    colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    for ink, paper in [("ink", "paper"), ("ink", "card"), ("soft", "paper"), ("soft", "card"), ("accent", "card"),
                       ("accent", "paper"), ("on-accent", "accent")]:  # fmt: skip
        assert contrast(colour[ink], colour[paper]) >= 4.5, (ink, paper)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio of two colours."""

    def luminance(hexadecimal: str) -> float:
        parts = [int(hexadecimal[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_what_is_too_long_is_told_shorter_and_a_file_is_told_whole_or_not_at_all() -> None:
    """A context that is too small halves the question. A page that does not fit is written anew."""
    asked: list[tuple[str, int]] = []

    def ask(prompt: str, inputs: Any) -> Result:
        size = sum(len(value) for value in inputs.values())
        asked.append((prompt, size))
        if size > 800:
            raise PromptTooLong("too long", limit=1, count=2)
        return result(PAGE)

    made = FileWriter(3000).make(job(brief="b" * 5000), ask)
    assert made["index.html"].startswith(b"<!DOCTYPE html>")
    assert [prompt for prompt, _ in asked] == ["build-files"] * 2
    asked.clear()
    FileWriter(3000).make(job(previous={"index.html": b"<p>" * 2000}), ask)
    assert [prompt for prompt, _ in asked] == ["build-edit"] * 3 + ["build-files"]


def test_the_reason_for_a_refused_edit_is_told_with_the_next_question() -> None:
    """Two of one line: the page is asked for anew, with the reason. Edits in that answer are applied all the same."""
    told: list[str] = []
    answers = iter(["a", "<p>a"])

    def ask(prompt: str, inputs: Any) -> Result:
        told.append(inputs["brief"])
        return result(f"<<<<<<< SEARCH\n{next(answers)}\n=======\nb\n>>>>>>> REPLACE\n")

    made = FileWriter(3000).make(job(previous={"index.html": b"<h1>a</h1><p>a</p>"}), ask)
    assert made == {"index.html": b"<h1>a</h1>b</p>"}
    assert "occurs 2 times in index.html" in told[1]


def test_a_cut_answer_is_no_page() -> None:
    """Half a page is not published, whatever it looks like."""
    with pytest.raises(UnusableAnswer, match="cut"):
        FileWriter(3000).make(job(), lambda prompt, inputs: result(PAGE, "length"))


def test_edits_and_files_in_one_answer_are_told_apart() -> None:
    """Edits change the files. A file alone is added. Without a page there must be one in the answer."""
    previous = {"index.html": b"<p>one</p>\n"}
    edit = "<<<<<<< SEARCH index.html\n<p>one</p>\n=======\n<p>two</p>\n>>>>>>> REPLACE\n"
    assert parse_answer(edit, previous, set()) == {"index.html": b"<p>two</p>\n"}
    assert parse_answer("FILE: b.txt\n```\nx\n```\n", previous, set()) == {"b.txt": b"x\n"}
    with pytest.raises(UnusableAnswer, match=r"index\.html"):
        parse_answer("FILE: b.txt\n```\nx\n```\n", {}, set())


def test_nothing_is_fetched_that_no_setting_allows() -> None:
    """A URL in a brief is read only on an allowed host. Others are not even looked up."""
    assert list(fetched("Use http://127.0.0.1:9/data.json and http://x.invalid/.", frozenset())) == []
    [(url, said)] = fetched("Use http://127.0.0.1:9/data.json.", frozenset({"127.0.0.1:9"}))
    assert url == "http://127.0.0.1:9/data.json"
    assert "does not answer" in str(said)


@pytest.mark.parametrize("text", ["http://[your-host]/x", "see http://[docs, then", "http://127.0.0.1:9/\x01"])
def test_what_only_looks_like_a_url_ends_no_build(text: str) -> None:
    """Briefs are full of placeholders. Nothing is read there, whether any host is allowed or not."""
    assert list(fetched(text, frozenset())) == []
    assert all(isinstance(said, str) for _, said in fetched(text, frozenset({"127.0.0.1:9"})))


# Providers


@pytest.fixture
def first() -> Iterator[OpenAIServer]:
    with OpenAIServer(PAGE) as server:
        yield server


@pytest.fixture
def second() -> Iterator[OpenAIServer]:
    with OpenAIServer(PAGE.replace("made", "made by the second")) as server:
        yield server


def file_of(tmp_path: Path, first: OpenAIServer, second: OpenAIServer, **prices: float) -> Path:
    priced = "\n".join(f"{name} = {value}" for name, value in prices.items())
    path = tmp_path / "providers.toml"
    path.write_text(
        f'[providers.one]\nbase_url = "{first.base_url}"\nkey = "FIRST_KEY"\nmodel = "large"\n{priced}\n'
        f'[providers.two]\nbase_url = "{second.base_url}"\nmodel = "small"\n'
    )
    return path


def build(tmp_path: Path, providers: Path, **more: Any) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    """One build by the providers `one`, then `two`: the build, its exchanges, its events."""
    settings = settings_for(
        tmp_path / "state",
        providers_file=str(providers),
        maker_model="one, two",
        maker="auto",
        remote_retries=0,
        **more,
    )
    with evaluator() as judge, serving(settings, ScriptedEngine(lambda _: json.dumps(PLAN))) as client:
        answer = posted(client, brief(judge.url, checks=[]))
        shown = finished(client, answer["job_id"])
        headers = {"authorization": f"Bearer {settings.secret.get_secret_value()}"}  # type: ignore[union-attr]
        exchanges = client.get(f"/builds/{answer['job_id']}/exchanges", headers=headers)
        assert exchanges.status_code == 200
        return shown, exchanges.json()["exchanges"], client.get(f"/builds/{answer['job_id']}/events").text


@pytest.mark.parametrize(
    "mode", ["outage", "503", "credit", "unauthorized", "refusal", "truncated", "bad_json", "html"]
)
def test_who_fails_is_followed_by_the_next(
    mode: str, tmp_path: Path, first: OpenAIServer, second: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the first one's failure is, the second writes the page. Both exchanges are kept, and no key is."""
    monkeypatch.setenv("FIRST_KEY", KEY)
    first.script(mode)
    shown, exchanges, events = build(tmp_path, file_of(tmp_path, first, second))
    assert (shown["status"], shown["outcome"]["maker"]) == ("done", "files")
    assert [(exchange["kind"], exchange["provider"]) for exchange in exchanges] == [
        ("provider", "one"),
        ("asked", "two"),
    ]
    assert "made by the second" in exchanges[1]["answer"]
    assert len(first.asked) == 1
    assert KEY not in json.dumps([shown, exchanges]) + events


def test_malformed_answers_send_the_next_try_to_the_next_provider(
    tmp_path: Path, first: OpenAIServer, second: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words without a page are an answer, and no use: the second provider is asked."""
    monkeypatch.setenv("FIRST_KEY", KEY)
    first.reply = "I am happy to help you with your page!"
    shown, exchanges, events = build(tmp_path, file_of(tmp_path, first, second))
    assert shown["outcome"]["maker"] == "files"
    assert [exchange["provider"] for exchange in exchanges] == ["one", "two"]
    assert "holds no index.html" in events


def test_money_is_not_spent_beyond_its_cap(
    tmp_path: Path, first: OpenAIServer, second: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider whose answer could cost more than the rest is not asked. The unpriced one is."""
    monkeypatch.setenv("FIRST_KEY", KEY)
    path = file_of(tmp_path, first, second, input_price=1000.0, output_price=2000.0)
    shown, exchanges, events = build(tmp_path, path, build_max_cost=0.5)
    assert first.asked == []
    assert [exchange["provider"] for exchange in exchanges] == ["two"]
    assert "its cap is 0.5" in events
    assert shown["status"] == "done"


def test_what_a_provider_costs_is_counted(
    tmp_path: Path, first: OpenAIServer, second: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens times the price per million, both ways."""
    monkeypatch.setenv("FIRST_KEY", KEY)
    path = file_of(tmp_path, first, second, input_price=1.0, output_price=2.0)
    _, [exchange], _ = build(tmp_path, path)
    words = len(PAGE.split())
    assert exchange["cost"] == pytest.approx((7 * 1.0 + words * 2.0) / 1e6, abs=1e-6)
    assert exchange["tokens"] == 7 + words


def test_tokens_are_not_spent_beyond_their_cap(
    tmp_path: Path, first: OpenAIServer, second: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first answer the cap is reached: no repair, no further question, and the build ends all the same."""
    monkeypatch.setenv("FIRST_KEY", KEY)
    first.reply = "no page"
    shown, exchanges, events = build(tmp_path, file_of(tmp_path, first, second), build_max_tokens=1)
    assert len(exchanges) == 1
    assert "of its 1 tokens" in events
    assert (shown["status"], shown["outcome"]["maker"]) == ("done", "none")


def test_a_model_that_is_not_here_leaves_the_plan_and_says_what_helps(tmp_path: Path) -> None:
    """Without the capable model in the cache the page is planned and rendered, and an event names the command."""
    empty = tmp_path / "cache"
    settings = settings_for(tmp_path / "state", cache_dir=str(empty))
    providers = Providers(settings, Unlocked(settings.data_dir), Engines(settings))
    [provider] = providers.of(Unlocked(settings.data_dir)["build-files"])
    assert provider.missing is not None
    assert "sameboat model pull qwen2.5-coder-1.5b-instruct" in provider.missing
    assert not [each for each in named(settings, "smollm2-135m-instruct") if each.writes_files]


def named(settings: Any, names: str) -> list[Any]:
    """The providers that may write files if the setting names these."""
    told = settings.model_copy(update={"maker_model": names})
    return Providers(told, Unlocked(told.data_dir), Engines(told)).of(Unlocked(told.data_dir)["build-files"])


def test_the_providers_file_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    """File, provider and key are named. An unknown name in the setting lists the known ones."""
    path = tmp_path / "p.toml"
    path.write_text('[providers.a]\nbase_url = "ftp://x"\nmodel = "m"\n')
    with pytest.raises(SettingsError, match=r"providers\.a\.base_url"):
        read_providers(path)
    for text in (b"providers = 3", b"[provider.a]", b"[providers", b"\xff", b""):
        path.write_bytes(text)
        with pytest.raises(SettingsError, match="SAMEBOAT_PROVIDERS_FILE"):
            read_providers(path)
    with pytest.raises(SettingsError, match="names 'nobody'"):
        named(settings_for(tmp_path / "s"), "nobody")


def test_without_the_capable_model_a_build_plans_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stock checkout: the starter is here, the 1.5B model is not. The build ends with a planned page."""
    missing = "it is not in the cache; fetch it with: sameboat model pull {}"
    monkeypatch.setattr(
        "tests.builds.harness.OneEngine.missing",
        lambda self, name: missing.format(name) if name.startswith("qwen") else None,
    )
    engine = ScriptedEngine(lambda _: json.dumps(PLAN))
    with evaluator() as judge, serving(settings_for(tmp_path / "state", maker="auto"), engine) as client:
        answer = posted(client, brief(judge.url, checks=["The page is blue"]))
        shown = finished(client, answer["job_id"])
        events = client.get(f"/builds/{answer['job_id']}/events").text
    assert (shown["status"], shown["outcome"]["maker"]) == ("done", "plan")
    assert "Maker 'files' cannot work here" in events
    assert "sameboat model pull qwen2.5-coder-1.5b-instruct" in events
    said = {outcome["said"]: outcome["verdict"] for outcome in shown["outcome"]["report"]["outcomes"]}
    assert said["The page is blue"] == "not judged"
    assert len(engine.asked) == 1


def test_when_files_fail_in_round_two_the_app_stays(tmp_path: Path) -> None:
    """A model that gives no usable edit does not cost the page that round 1 made."""
    said = [PAGE]
    engine = ScriptedEngine(lambda _: said[-1])
    with evaluator() as judge, serving(settings_for(tmp_path / "state", maker="auto"), engine) as client:
        finished(client, posted(client, brief(judge.url, checks=[]))["job_id"])
        said.append("I would rather not.")
        again = brief(judge.url, checks=[], round=2, nonce="n2", brief="Add a note.")
        shown = finished(client, posted(client, again)["job_id"])
        site = client.get(shown["outcome"]["pages_url"])
    assert shown["outcome"]["maker"] == "none"
    assert "<title>made</title>" in site.text


def test_a_plan_keeps_no_sentence_that_says_more_than_the_brief() -> None:
    sections = [
        {"heading": "Opening hours", "text": "The hours of the bakery. When the library is open."},
        {"heading": "Services", "text": "What visitors can borrow and use."},
    ]
    plan = {"title": "City Library", "summary": "It is very fast.", "sections": sections}
    kept = of_the_brief(plan, job(title="Bakery", brief="A page about a bakery with its opening hours."))
    assert kept["title"] == "Bakery"
    assert kept["sections"] == [{"heading": "Opening hours", "text": "The hours of the bakery."}]
    assert kept["summary"] == "A page for the brief below."


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("I am born on Monday.", False),
        ("The weekday is Monday.", False),
        ("#key is 26.", False),
        ("#keys holds 26 buttons.", True),
        ("#keys holds 25 buttons.", False),
        ("The buttons holds #keys.", False),
        ("On which weekday was I born?", True),
        ("26 buttons of #keys.", True),
    ],
)
def test_a_plan_makes_no_claim_of_words_that_the_brief_says_elsewhere(text: str, stays: bool) -> None:
    told = "On which weekday was I born? The paragraph #day gives Monday to Sunday. #keys holds 26 buttons A to Z."
    plan = {"title": "T", "summary": text, "sections": [{"heading": "26 buttons", "text": text}]}
    kept = of_the_brief(plan, job(brief=told))
    assert (kept["summary"] == text) is stays
    assert kept["sections"] == ([{"heading": "26 buttons", "text": text}] if stays else [])


def test_an_answer_with_the_code_of_a_check_is_refused() -> None:
    """Blanks do not hide it. Short expressions, which any app may hold, are let be."""
    check = "document.querySelector('#count').textContent.trim() === '0'"
    copied = PAGE.replace("</p>", f"</p><script>if ({check.replace(' ', '  ')}) alert()</script>")
    with pytest.raises(UnusableAnswer, match="code of a check"):
        FileWriter(6000).make(job(expressions=(check,)), lambda *_: result(copied))
    assert FileWriter(6000).make(job(expressions=("!!document.title", check)), lambda *_: result(PAGE))


@pytest.mark.parametrize("body", [b"<body><p>x</p></body></html>", b"<p>x</p>"])
def test_a_page_that_passes_few_checks_says_so_at_its_foot(body: bytes) -> None:
    page_ = with_foot(body, 1, 4).decode()
    assert "passes 1 of 4 checks" in page_
    assert page_.endswith("</footer>\n</body></html>" if b"body" in body else "</footer>\n")
