"""Settings: read when asked, wrong ones named, secrets never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from service import settings
from service.errors import SettingsError

ROOT = Path(__file__).resolve().parent.parent


def test_the_example_lists_every_setting() -> None:
    """`.env.example` is made from the settings, so a new setting has to be in it."""
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == settings.env_example()


def test_a_wrong_value_names_the_variable_and_its_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEBOAT_PORT", "seventy")
    with pytest.raises(SettingsError, match=r"SAMEBOAT_PORT is unusable.*Port to listen on") as caught:
        settings.load()
    assert caught.value.key == "SAMEBOAT_PORT"


def test_an_empty_variable_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEBOAT_PORT", "")
    monkeypatch.setenv("DATABASE_URL", "")
    loaded = settings.load()
    assert (loaded.port, loaded.database_url) == (7860, None)


def test_plain_platform_names_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLE", "worker")
    assert settings.load().role == "worker"
    assert settings.load(role="api").role == "api"


def test_a_secret_comes_from_a_file_and_is_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("hunter2-canary-41\n", encoding="utf-8")
    monkeypatch.setenv("SAMEBOAT_SECRET_FILE", str(path))
    loaded = settings.load()
    assert loaded.secret is not None
    assert loaded.secret.get_secret_value() == "hunter2-canary-41"
    assert "hunter2-canary-41" not in repr(loaded) + str(loaded) + str(loaded.model_dump())


def test_a_dotenv_file_may_name_the_file_of_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`.env.example` says so. A variable of the environment wins over one in `.env`."""
    (tmp_path / "secret").write_text("hunter2-canary-41\n", encoding="utf-8")
    (tmp_path / ".env").write_text(f"SAMEBOAT_SECRET_FILE={tmp_path / 'secret'}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAMEBOAT_SECRET", raising=False)
    secret = settings.load().secret
    assert secret is not None
    assert secret.get_secret_value() == "hunter2-canary-41"
    monkeypatch.setenv("SAMEBOAT_SECRET", "another-canary-42")
    secret = settings.load().secret
    assert secret is not None
    assert secret.get_secret_value() == "another-canary-42"


def test_a_secret_file_that_is_no_text_is_told_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("SAMEBOAT_SECRET_FILE", str(tmp_path / "secret"))
    with pytest.raises(SettingsError, match="SAMEBOAT_SECRET_FILE names a file that cannot be read: it is not text"):
        settings.load()


def test_a_variable_with_a_plain_name_is_told_by_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLE", "captain")
    with pytest.raises(SettingsError, match=r"SAMEBOAT_ROLE or ROLE is unusable.*answer and build") as caught:
        settings.load()
    assert caught.value.key == "SAMEBOAT_ROLE"


def test_a_secret_file_that_is_missing_is_told_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAMEBOAT_SECRET_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="SAMEBOAT_SECRET_FILE names a file that cannot be read"):
        settings.load()


def test_a_wrong_secret_is_not_echoed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEBOAT_REMOTE_TIMEOUT_S", "hunter2-canary-41")
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert "hunter2-canary-41" not in str(caught.value)


@pytest.mark.parametrize("name", ["SECRET", "FORGE_TOKEN", "CALLBACK_SIGNING_KEY"])
def test_a_secret_that_can_be_guessed_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Only secrets that the operator chooses. A provider's key has the length that the provider gave it."""
    monkeypatch.setenv(f"SAMEBOAT_{name}", "fifteen-letters")
    with pytest.raises(SettingsError, match="fewer than 16 characters") as refused:
        settings.load()
    assert "fifteen-letters" not in str(refused.value)
    monkeypatch.setenv(f"SAMEBOAT_{name}", "sixteen-letters!")
    settings.load()


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One setting that has a new name, and no warning before the test."""
    monkeypatch.setattr(settings, "RENAMED", {"SAMEBOAT_WHARF": "port"})
    monkeypatch.chdir(tmp_path)
    settings._warn_once.cache_clear()


def test_an_old_name_still_works_and_says_once_which_name_replaces_it(
    renamed: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SAMEBOAT_WHARF", "8123")
    assert settings.load().port == 8123
    assert settings.load(port=8124).port == 8124
    assert [record.getMessage() for record in caplog.records] == [
        "SAMEBOAT_WHARF is deprecated, and a later version will ignore it. Set SAMEBOAT_PORT."
    ]


def test_an_old_name_works_in_a_dotenv_file(renamed: None, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SAMEBOAT_WHARF=8123\n", encoding="utf-8")
    assert settings.load().port == 8123


def test_an_old_and_a_new_name_together_are_an_error(
    renamed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One of the two would be ignored without a word, also if one is in `.env` and they are equal."""
    monkeypatch.setenv("SAMEBOAT_WHARF", "8123")
    (tmp_path / ".env").write_text("SAMEBOAT_PORT=8123\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="SAMEBOAT_WHARF and SAMEBOAT_PORT are both set") as refused:
        settings.load()
    assert refused.value.key == "SAMEBOAT_WHARF"
    monkeypatch.setenv("SAMEBOAT_WHARF", "")
    monkeypatch.setenv("SAMEBOAT_PORT", "8125")
    assert settings.load().port == 8125, "an empty variable is not set"


def test_a_wrong_value_of_an_old_name_is_told(renamed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEBOAT_WHARF", "seventy")
    with pytest.raises(SettingsError, match="SAMEBOAT_PORT is unusable"):
        settings.load()


def test_every_old_name_leads_to_a_setting() -> None:
    """The stability page lists each with its new name."""
    page = (ROOT / "docs" / "stability.md").read_text(encoding="utf-8")
    for old, field in settings.RENAMED.items():
        assert f"| `{old}` | `{settings.env_variables(field)[0]}` |" in page
