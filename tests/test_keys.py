"""Keys: a new key is accepted, the configured line is no key, and nothing else is accepted."""

from __future__ import annotations

import hashlib

import pytest

from service import keys
from service import settings as settings_module
from service.errors import SettingsError


def test_a_new_key_is_known_by_the_line_that_is_configured_for_it() -> None:
    key, other = keys.new(), keys.new()
    configured = keys.parse(f"{keys.line('ada', key)},\n# spare\n{keys.line('bob', other, requests=5, tokens=0)}")
    assert key not in keys.line("ada", key)
    assert [known and known.name for known in (keys.match(configured, key), keys.match(configured, other))] == [
        "ada",
        "bob",
    ]
    assert (configured[1].requests, configured[1].tokens) == (5, 0)
    assert keys.match(configured, keys.new()) is None


@pytest.mark.parametrize("weak", ["", "hunter2", "a" * 16, "sameboat_" + "a" * 42, "sameboat_" + "a" * 44])
def test_a_hand_made_key_is_never_let_in(weak: str) -> None:
    """Not even if its digest is configured, because only texts with the form of a key are compared."""
    configured = keys.parse(f"weak:sha256:{hashlib.sha256(weak.encode()).hexdigest()}")
    assert keys.match(configured, weak) is None


@pytest.mark.parametrize(
    "wrong",
    ["ada", "ada:hunter2-hunter2-hunter2", "ada:md5:" + "0" * 64, "ada:sha256:" + "0" * 63, ":sha256:" + "0" * 64,
     "ada:sha256:" + "0" * 64 + ":seconds=4", "ada:sha256:" + "0" * 64 + ":tokens=-4", "# nobody", "a da:sha256:",
     "ada:sha256:" + "0" * 64 + " ada:sha256:" + "1" * 64, "ada:sha256:" + "0" * 64 + " bob:sha256:" + "0" * 64],
)  # fmt: skip
def test_what_is_no_configured_key_stops_the_start_and_is_not_repeated(wrong: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_module.load(api_keys=wrong)
    assert "SAMEBOAT_API_KEYS is unusable" in str(refused.value)
    assert not any(part in str(refused.value) for part in ("hunter2", "0" * 20, "md5"))


def test_a_key_in_place_of_its_digest_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    key = keys.new()
    monkeypatch.setenv("SAMEBOAT_API_KEYS", key)
    with pytest.raises(SettingsError, match="entry 1 holds a key itself") as refused:
        settings_module.load()
    assert key not in str(refused.value)


def test_a_salt_is_the_keys_own_at_every_start_and_not_in_what_is_configured() -> None:
    key = keys.new()
    assert keys.salt(key) == keys.salt(key) != keys.salt(keys.new())
    assert keys.salt(key) not in keys.line("ada", key)
