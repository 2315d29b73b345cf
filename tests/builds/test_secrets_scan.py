"""The search for secrets: each issuer's tokens, our own in every spelling, and no false alarms.

Every token here is made up when the test runs, so that no file of this repository holds one.
"""

from __future__ import annotations

import base64
import json
import random
import string
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.builds.secrets_scan import SecretFinding, redacted, scan

ROOT = Path(__file__).resolve().parent.parent.parent
LETTERS = string.ascii_letters + string.digits


def drawn(size: int, alphabet: str = LETTERS) -> str:
    """Letters drawn by lot, digits and both cases among them."""
    lots = random.Random(size)  # the same in every run
    return "Aa1" + "".join(lots.choice(alphabet) for _ in range(size - 3))


def jwt(**claims: object) -> str:
    parts = [{"alg": "HS256", "typ": "JWT"}, claims]
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*coded, drawn(43)])


PEM = "\n".join(("-----BEGIN RSA " + "PRIVATE KEY-----", drawn(64), drawn(64), "-----END RSA " + "PRIVATE KEY-----"))
TOKENS = {
    "a GitHub token": ["ghp_" + drawn(36), "ghs_" + drawn(36), "github_pat_" + drawn(22) + "_" + drawn(59)],
    "a GitLab token": ["glpat-" + drawn(20)],
    "an AWS access key": ["AKIA" + "QYLPMN5HFIQR7XYA", "ASIA" + "QYLPMN5HFIQR7XYA"],
    "an AWS secret key": ["aws_secret_access_key = " + drawn(40), 'AWS_SECRET_KEY="' + drawn(40) + '"'],
    "a private key": [PEM, json.dumps({"private_key": PEM}), "-----BEGIN " + "PRIVATE KEY-----\\n" + drawn(64),
                      "-----BEGIN OPENSSH " + "PRIVATE KEY-----\r\n" + drawn(70),
                      "-----BEGIN RSA " + "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n" + drawn(64)],
    "a Google API key": ["AIza" + drawn(35)],
    "a Google client secret": ["GOCSPX-" + drawn(28)],
    "an Azure storage key": ["AccountKey=" + drawn(86) + "=="],
    "a Slack token": ["xoxb-" + drawn(40)],
    "a Slack webhook": ["https://hooks.slack.com/services/T" + "0A1B2C3D4/B0A1B2C3D4/" + drawn(24)],
    "a Discord webhook": ["https://discord.com/api/webhooks/" + "123456789012345678/" + drawn(68)],
    "a Telegram bot's token": ["1234567890:AA" + drawn(33)],
    "a Stripe key": ["sk_live_" + drawn(24), "rk_test_" + drawn(24)],
    "a model provider's key": ["sk-proj-" + drawn(48), "sk-ant-" + drawn(90), "sk-" + drawn(48), "gsk_" + drawn(52)],
    "a Hugging Face token": ["hf_" + drawn(34)],
    "a SendGrid key": ["SG." + drawn(22) + "." + drawn(43)],
    "an npm token": ["npm_" + drawn(36)],
    "a PyPI token": ["pypi-AgEIcHlwaS5vcmc" + drawn(80)],
    "a JSON Web Token": [jwt(sub="42"), jwt(sub="42", exp=time.time() + 1e6)],
    "a password in a URL": ["postgres://app:" + drawn(16) + "@db.internal-host.net/app",
                            "https://x:" + drawn(12) + "@git.net/a"],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in TOKENS.items() for text in texts])
def test_a_token_is_found_by_kind_and_line_and_not_repeated(kind: str, text: str) -> None:
    """In code, at a line's end, in quotes."""
    for around in ("{}", 'const key = "{}";', "see {} there"):
        [finding] = scan({"app.js": f"// one\n// two\n{around.replace('{}', text)}\n".encode()})
        assert (finding.path, finding.kind) == ("app.js", kind)
        assert finding.line in range(3, 4 + text.count("\n"))
        assert text not in str(finding)


@pytest.mark.parametrize(
    "text",
    [
        "ghp_" + "x" * 36,
        "github_pat_" + "X" * 80,
        "Set GITHUB_TOKEN to your token (it begins with ghp_ or github_pat_).",
        "AKIA" + "IOSFODNN7EXAMPLE",  # AWS's own
        # pragma: allowlist nextline secret
        "aws_secret_access_key = " + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",  # AWS's own
        "-----BEGIN " + "PRIVATE KEY----- is the first line of a PEM file",
        "if (text.startsWith('-----BEGIN " + "PRIVATE KEY-----')) reject();",
        "sk-fade-in-up-animation-container-very-long-name",
        "class='sk-circle sk-circle-fade-dot-animation-delay-1200'",
        "sk-" + "x" * 48,
        "postgres://user:" + "password@localhost:5432/app",
        "https://user:" + "secret123@example.com/",
        "redis://:" + "changeme@redis/0",
        "mysql://root:" + "<password>@db/app",
        "amqp://guest:" + "${PASSWORD}@host/",
        "https://fonts.googleapis.com/css2?family=Inter:wght@400;700",
        "https://cdn.jsdelivr.net/npm/bootstrap@5.3.3/dist/css/bootstrap.min.css",
        "background: url(data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk)",
        # pragma: allowlist nextline secret
        "integrity='sha384-QWTKZyjpPEjISv5WaRU9OFeRpok6YctnYmDr5pNlyT2bRjXh0JMhjY6hW+ALEwIH'",
        # pragma: allowlist nextline secret
        "9fb037999f264ba9a7fc6274d15fa3ae2ab98312",
        "0190b8f2-7d0e-7c3a-9b7e-2f6d7c1a5b10",
        "1234567890:AAA is not a bot",
        jwt(sub="1234567890", name="John Doe", iat=1516239022),
        jwt(sub="42", exp=1_500_000_000),
    ],
)
def test_what_only_looks_like_a_secret_is_let_be(text: str) -> None:
    """A finding costs a build its page."""
    assert scan({"index.html": text.encode(), "README.md": f"`{text}`".encode()}) == []


def test_the_code_that_lies_here_has_no_findings() -> None:
    """All of the service and the templates that every page is rendered from."""
    files = {str(path): path.read_bytes() for path in (ROOT / "service").rglob("*") if path.is_file()}
    assert [each for each in scan(files) if "__pycache__" not in each.path] == []


OURS = "Tr0ub4dor&3/ä+~canary"
SPELLINGS = {
    "as it is": OURS,
    "percent-encoded": "Tr0ub4dor%263%2F%C3%A4%2B~canary",
    "percent-encoded but for the slash": "Tr0ub4dor%263/%C3%A4%2B~canary",
    "every byte percent-encoded": "".join(f"%{each:02x}" for each in OURS.encode()),
    "hexadecimal": OURS.encode().hex(),
    "HEXADECIMAL": OURS.encode().hex().upper(),
    "hexadecimal escapes": "".join(f"\\x{each:02x}" for each in OURS.encode()),
    "numbers": ", ".join(map(str, OURS.encode())),
    "entities": "".join(f"&#{ord(each)};" for each in OURS),
    "json": json.dumps(OURS),
    "backwards": OURS[::-1],
    "in two strings": f'"{OURS[:9]}" + "{OURS[9:]}"',
    "in two lines": f"{OURS[:9]}\\\n{OURS[9:]}",
}


@pytest.mark.parametrize("how", SPELLINGS)
def test_our_own_secret_is_found_in_every_spelling(how: str) -> None:
    """None of which a model would need to be told to use."""
    [finding] = scan({"app.js": f"const a = 1;\nuse({SPELLINGS[how]});\n".encode()}, [OURS])
    assert finding.kind == "a secret of this service"
    assert OURS not in str(finding)


@given(st.binary(max_size=40), st.binary(max_size=40), st.booleans(), st.integers(0, 3))
def test_our_own_secret_is_found_in_base64_at_any_offset(before: bytes, after: bytes, url: bool, line: int) -> None:
    """In either alphabet, whatever stands before and after it, and broken into lines."""
    encode = base64.urlsafe_b64encode if url else base64.b64encode
    coded = encode(before + OURS.encode() + after)
    size = (0, 16, 64, 76)[line]
    if size:
        coded = b"\n".join(coded[at : at + size] for at in range(0, len(coded), size))
    assert [each.kind for each in scan({"a.txt": coded}, [OURS])] == ["a secret of this service"]


def test_our_own_secret_is_found_in_utf_16_and_in_a_name() -> None:
    """Where a search for bytes would pass by."""
    assert scan({"a.txt": OURS.encode("utf-16")}, [OURS]) == [SecretFinding("a.txt", 1, "a secret of this service")]
    assert len(scan({f"{OURS}.txt": b"x"}, [OURS])) == 1


def test_the_parts_of_a_secret_are_secrets() -> None:
    """The password in a database's URL, and the characters after whsec_."""
    key, password = drawn(32), drawn(16)
    ours = [f"whsec_{key}", f"postgresql://app:{password}@db/app"]
    assert len(scan({"a": key.encode(), "b": password.encode()}, ours)) == 2


def test_a_secret_that_is_too_short_is_not_searched_for() -> None:
    """It would be in every text by chance, and no page could be published."""
    assert scan({"a": b"a boat in the same sea"}, ["sea", "same", ""]) == []


@pytest.mark.parametrize("how", sorted(set(SPELLINGS) - {"in two strings", "in two lines", "numbers"}))
def test_a_spelling_that_stands_whole_is_taken_out(how: str) -> None:
    """In a page and an exchange before they are stored. Afterwards the search finds nothing."""
    clean = redacted(f"use({SPELLINGS[how]});".encode(), [OURS])
    assert b"[secret]" in clean
    assert scan({"app.js": clean}, [OURS]) == []
