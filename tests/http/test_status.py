"""The view of the service for a person: engines, settings without secrets, and the numbers of the last hour."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from service import doctor, keys
from service import settings as settings_module
from service.doctor import DoctorFinding
from service.engine.types import Health
from service.http import history, status
from service.http.history import COLUMNS, History
from service.http.metrics import Metrics
from service.settings import Settings
from tests.http.conftest import Make, ask, looks
from tests.scripted import ScriptedEngine


class Busy:
    """A lock that somebody holds."""

    def locked(self) -> bool:
        return True


KEY = keys.new()
SECRET = "not-for-anybody-at-all"  # pragma: allowlist secret


def test_a_key_shows_the_settings_and_no_text_of_them(make: Make) -> None:
    """Numbers and listed words are shown. A text is only set or not set."""
    engine = ScriptedEngine(lambda request: "x")
    app = make(engine, api_keys=keys.line("ada", KEY), secret=SECRET, public_url="https://boat.example", parallel=3)
    [answer] = looks(app, "/status", authorization=f"Bearer {KEY}")
    shown = {row["name"]: row for row in answer.json()["settings"]}
    assert (shown["SAMEBOAT_PARALLEL"]["value"], shown["SAMEBOAT_PARALLEL"]["default"]) == (3, 8)
    assert shown["SAMEBOAT_PARALLEL"]["changed"]
    assert shown["SAMEBOAT_MODE"]["value"] == "fast"
    assert {shown[f"SAMEBOAT_{name}"]["value"] for name in ("SECRET", "API_KEYS", "PUBLIC_URL", "DATA_DIR")} == {"set"}
    assert shown["SAMEBOAT_GITHUB_TOKEN"]["value"] is None
    for hidden in (SECRET, KEY, "boat.example", str(app.state.service.settings.data_dir)):
        assert hidden not in answer.text


def test_a_stranger_of_an_open_service_sees_states_only(make: Make) -> None:
    engine = ScriptedEngine(lambda request: "x")
    engine.state = Health("loading", "reads /a/path", 0.5)
    shown = ask(make(engine, open=True, host="0.0.0.0"), "GET", "/status").json()
    assert shown["settings"] is None
    assert {json.dumps(engine) for engine in shown["engines"].values()} == {'{"state": "loading"}'}


def test_without_a_key_a_service_with_keys_shows_nothing(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "x"), api_keys=keys.line("ada", KEY))
    paths = ("/status", "/status/history", "/evaluations", "/prompts/greet/evaluation")
    assert {answer.status_code for answer in looks(app, *paths)} == {401}


def test_the_doctor_answers_only_the_single_user_on_loopback(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its findings name folders and callers. One examination runs at a time."""
    seen: list[Settings] = []

    def examined(running: Settings) -> Iterator[DoctorFinding]:
        seen.append(running)
        yield DoctorFinding("cache", "note", "a folder", "Free some of it.")

    monkeypatch.setattr(doctor, "examine", examined)
    engine = ScriptedEngine(lambda request: "x")
    app = make(engine)
    [finding] = ask(app, "GET", "/status/doctor").json()
    assert finding == {"what": "cache", "level": "note", "found": "a folder", "remedy": "Free some of it."}
    assert seen == [app.state.service.settings]
    app.state.service.examining = Busy()
    assert ask(app, "GET", "/status/doctor").status_code == 409
    keyed = make(engine, api_keys=keys.line("ada", KEY))
    assert [answer.status_code for answer in looks(keyed, "/status/doctor", authorization=f"Bearer {KEY}")] == [403]
    assert ask(make(engine, open=True, host="0.0.0.0"), "GET", "/status/doctor").status_code == 403
    assert len(seen) == 1


def test_a_running_service_is_not_asked_for_its_port_or_a_second_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other tests run, with the settings of the service."""
    names = [name for name in vars(doctor) if name.startswith("_") and name in doctor.examine.__code__.co_names]
    for name in names:
        finding = DoctorFinding(name, "ok", "")
        monkeypatch.setattr(doctor, name, lambda settings, finding=finding: iter([finding]))
    given = settings_module.load()
    everything = {finding.what for finding in doctor.examine()}
    assert everything - {finding.what for finding in doctor.examine(given)} == {
        "_engine",
        "_kernels",
        "_port",
        "_providers",
    }


def test_two_rows_tell_what_happened_in_between(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row has the sums over all models. Only rows after a time are sent again."""
    engine = ScriptedEngine(lambda request: "x")
    app = make(engine)
    service = app.state.service
    service.engines.get()
    rows, metrics = History(), Metrics()
    now = [100.0]
    monkeypatch.setattr(history.time, "time", lambda: now[0])
    rows.take(service.engines, metrics)
    engine.numbers = {"answer_tokens": 30.0, "answer_seconds": 2.0, "queue_requests": 4.0}
    metrics._observe("a", "first_token_s", 0.25)
    metrics._observe("b", "first_token_s", 0.75)
    now[0] = 105.0
    rows.take(service.engines, metrics)
    first, second = (dict(zip(COLUMNS, row, strict=True)) for row in rows.rows())
    assert (first["answer_tokens"], second["answer_tokens"], second["answer_seconds"]) == (0.0, 30.0, 2.0)
    assert (second["first_token_s_sum"], second["first_token_s_count"], second["queue_requests"]) == (1.0, 2.0, 4.0)
    assert [row[0] for row in rows.rows(100.0)] == [105.0]


def test_the_history_is_an_hour_at_most(make: Make) -> None:
    service = make(ScriptedEngine(lambda request: "x")).state.service
    rows = History()
    for _ in range(history.ROWS + 3):
        rows.take(service.engines, service.metrics)
    assert len(rows.rows()) == history.ROWS == 3600 / history.EVERY_S


def test_a_running_service_takes_samples(make: Make) -> None:
    shown = ask(make(ScriptedEngine(lambda request: "x")), "GET", "/status/history").json()
    assert shown["columns"] == list(COLUMNS)
    assert len(shown["rows"][0]) == len(COLUMNS)


def test_a_type_of_words_or_numbers_is_plain() -> None:
    annotations = {name: field.annotation for name, field in status.Settings.model_fields.items()}
    assert all(status._is_plain(annotations[name]) for name in ("port", "open", "mode", "threads", "template_date"))
    assert not any(status._is_plain(annotations[name]) for name in ("host", "secret", "data_dir", "model"))
