"""Eleven clients that people have already, unchanged, against a started service. Each cell of the matrix is a test.

Each client runs in a process and an environment of its own, as its users run it. The tests compare the client's
own objects with the answers to plain HTTP requests.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from tests.clients.conftest import EMBEDDING, QWEN, Report, run
from tests.clients.matrix import CLIENTS
from tests.clients.page import REAL
from tests.clients.scripted import HELLO, PICK
from tests.e2e.conftest import STARTER

pytestmark = pytest.mark.model

ASK = "Name a colour."
SHORT = {"temperature": 0, "max_tokens": 40}
TEXTS = ["A boat is rowed across the river.", "The invoice was paid."]
TOWN = {"properties": {"town": {"enum": ["Bern", "Oslo", "Lima"]}}, "required": ["town"], "additionalProperties": False}
SCHEMA = {
    "properties": {
        "colour": {"enum": ["red", "green", "blue"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["colour", "count"],
    "additionalProperties": False,
}
RESULT = "12:34"  # of the tool
Reports = Callable[[str], Report]
CELLS = [(client, cell) for client, it in CLIENTS.items() for cell in it.names()]


def post(url: str, path: str, **body: Any) -> Any:
    """A plain request, and its JSON."""
    answer = httpx.post(f"{url}/v1/{path}", json={"model": STARTER, **body}, timeout=300)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="session")
def plain(starter_process: str) -> dict[str, Any]:
    """The answer and its usage as plain HTTP gives them. It ends by itself, which some clients insist on."""
    answer = post(starter_process, "chat/completions", messages=[{"role": "user", "content": ASK}], **SHORT)
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "stop"
    return {"text": choice["message"]["content"], **answer["usage"]}


@pytest.fixture(scope="session")
def vectors(embedding_url: str | None) -> list[list[float]]:
    if embedding_url is None:
        pytest.skip("the embedding model (84 MB) cannot be fetched")
    return [item["embedding"] for item in post(embedding_url, "embeddings", model=EMBEDDING, input=TEXTS)["data"]]


@pytest.fixture(autouse=True)
def _recorded(request: pytest.FixtureRequest, record_property: Callable[[str, Any], None]) -> None:
    """The client and the cell, for the table of the docs. A client's program runs here."""
    given = request.node.callspec.params
    cell = given.get("cell")
    if cell is None and request.node.originalname != "test_a_real_model_calls_a_tool_through_the_client":
        return
    record_property("client", given["client"])
    record_property("cell", cell or REAL)
    if cell:
        record_property("versions", request.getfixturevalue("report")(given["client"]).versions)


def of(kind: str) -> Any:
    """A parameter for each client and each of its cells of this kind."""
    cells = [(client, cell) for client, cell in CELLS if cell.startswith(f"{kind}:")]
    return pytest.mark.parametrize(("client", "cell"), cells, ids=[f"{client}: {cell}" for client, cell in cells])


def counted(value: dict[str, Any], plain: dict[str, Any]) -> None:
    """The client's usage, if its object has one, is the service's."""
    for name in ("prompt_tokens", "completion_tokens"):
        if name in value:
            assert value[name] == plain[name], name


@of("chat")
def test_a_chat_is_the_plain_answer(client: str, cell: str, report: Reports, plain: dict[str, Any]) -> None:
    value = report(client).value(cell)
    assert value["text"] == plain["text"]
    counted(value, plain)


@of("stream")
def test_the_pieces_of_a_stream_are_the_plain_answer(
    client: str, cell: str, report: Reports, plain: dict[str, Any]
) -> None:
    value = report(client).value(cell)
    pieces = [piece for piece in value["pieces"] if piece]
    assert "".join(pieces) == plain["text"]
    assert len(pieces) > 5
    counted(value, plain)


@of("structured")
def test_an_answer_is_an_object_of_the_clients_class(client: str, cell: str, report: Reports) -> None:
    value = report(client).value(cell)
    assert value["type"] == "Pick"
    jsonschema.validate(value["value"], SCHEMA)


@of("auto")
def test_a_tool_is_called_where_it_is_needed(client: str, cell: str, report: Reports) -> None:
    """The client reads the call, runs the tool, and ends with the text or the object that follows."""
    value = report(client).value(cell)
    if "no tool is needed" in cell:
        assert value == {"towns": [], "text": HELLO}
        return
    if "calls" in value:
        assert value["calls"] == [["clock", {"town": "Bern"}]]
    if "towns" in value:
        assert value["towns"] == ["Bern"]
    if "text" in value:
        assert value["text"].strip() == f"It is {RESULT} in Bern."
    if "type" in value:
        assert (value["type"], value["value"]) == ("Pick", PICK)


@of("required")
def test_a_call_that_must_be_made_obeys_its_tool(client: str, cell: str, report: Reports) -> None:
    """The starter has no tools in its chat template. Its calls are enforced all the same."""
    value = report(client).value(cell)
    if "calls" in value:
        ((name, arguments),) = value["calls"]
        assert name == "clock"
        jsonschema.validate(arguments, TOWN)
    else:
        assert value["type"] == "Pick"
        jsonschema.validate(value["value"], SCHEMA)


@of("embeddings")
def test_vectors_are_the_plain_ones(client: str, cell: str, report: Reports, vectors: list[list[float]]) -> None:
    read = report(client).value(cell)["vectors"]
    assert len(read) == 2
    for mine, theirs in zip(vectors, read, strict=True):
        assert theirs == pytest.approx(mine, abs=1e-6)


@of("completion")
def test_a_completion_is_the_plain_text(client: str, cell: str, report: Reports, starter_process: str) -> None:
    (choice,) = post(starter_process, "completions", prompt="One, two,", temperature=0, max_tokens=8)["choices"]
    assert report(client).value(cell) == {"completion": choice["text"]}


@of("error")
def test_an_error_has_the_clients_class_for_it(client: str, cell: str, report: Reports) -> None:
    assert report(client).value(cell) == {"class": "ContextWindowExceededError"}


@of("scores")
def test_scores_are_the_sums_of_the_plain_logprobs(
    client: str, cell: str, report: Reports, starter_process: str
) -> None:
    """Each option's score, from one request with `echo` and `logprobs` of ours."""
    value = report(client).value(cell)
    for row, scores, right in zip(value["rows"], value["scores"], value["right"], strict=True):
        assert scores == pytest.approx([score(starter_process, row["question"], option) for option in row["options"]])
        assert right == (scores[row["answer"]] == max(scores))


def score(url: str, prompt: str, option: str) -> float:
    body = {"prompt": f"{prompt} {option}", "max_tokens": 0, "logprobs": 1, "echo": True, "temperature": 0}
    logprobs = post(url, "completions", **body)["choices"][0]["logprobs"]
    starts = zip(logprobs["text_offset"], logprobs["token_logprobs"], strict=True)
    return sum(value for start, value in starts if start >= len(prompt))


@of("generation")
def test_generations_are_the_plain_texts(client: str, cell: str, report: Reports, starter_process: str) -> None:
    value = report(client).value(cell)
    assert value["texts"] == [generated(starter_process, prompt, chat=value["chat"]) for prompt in value["prompts"]]


def generated(url: str, prompt: str, *, chat: bool) -> str:
    more = {**SHORT, "stop": ["\n\n"]}
    if not chat:
        return str(post(url, "completions", prompt=prompt, **more)["choices"][0]["text"])
    answer = post(url, "chat/completions", messages=[{"role": "user", "content": prompt}], **more)
    return str(answer["choices"][0]["message"]["content"])


@pytest.mark.parametrize("client", CLIENTS)
def test_the_table_names_every_cell(client: str, report: Reports, embedding_url: str | None) -> None:
    """A cell that a program adds or loses is noticed."""
    expected = {name for name in CLIENTS[client].names() if embedding_url or not name.startswith("embeddings:")}
    assert set(report(client).cells) == expected


@pytest.mark.parametrize("client", [name for name, client in CLIENTS.items() if client.real])
def test_a_real_model_calls_a_tool_through_the_client(client: str, qwen_url: str, tmp_path: Path) -> None:
    """Qwen2.5-Coder-1.5B decides by itself, in the form that it likes. Its last words are its own."""
    given = {"starter": qwen_url, "scripted": qwen_url, "model": QWEN, "only": CLIENTS[client].real}
    value = run(client, given, tmp_path).value(str(CLIENTS[client].real))
    if "calls" in value:
        assert value["calls"] == [["clock", {"town": "Bern"}]]
    else:
        assert set(value["towns"]) == {"Bern"}
        assert value["text"]
