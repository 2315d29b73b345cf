"""Read the header of a GGUF file, without llama.cpp.

In: a path. Out: `Metadata`. Only the header is read: a few megabytes even of a large file, because it holds the
vocabulary. Format: ggml-org/ggml docs/gguf.md, versions 2 and 3.
Also out: the `Layout` of a file, for code that writes it again (`repack`).
Not here: the weights.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from service.errors import ModelCorrupt

MAGIC = b"GGUF"
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
F32, F16, Q4_1, Q8_0 = 0, 1, 3, 8  # types of tensors (ggml.h, enum ggml_type)
_BLOCKS = {F32: (1, 4), F16: (1, 2), Q4_1: (32, 20), Q8_0: (32, 34)}  # values and bytes of a block
MAX_DIMENSIONS = 4  # ggml.h, GGML_MAX_DIMS
CONTROL, USER_DEFINED = 3, 4  # llama.cpp's token types: text in input must never become one of these
MAX_KEYS, MAX_ITEMS, MAX_BYTES = 4096, 4_000_000, 64 * 1024 * 1024  # a corrupt length must not take all memory

_UNREADABLE = (struct.error, ValueError, TypeError, KeyError, EOFError, RecursionError, OverflowError)


@dataclass(frozen=True)
class Metadata:
    """The content of the header. Counts are as in the file. `values` holds every scalar and string.

    `longest_token` is the length in bytes of the longest token's text, or somewhat more.
    """

    architecture: str
    context_length: int
    block_count: int
    embedding_length: int
    head_count: int
    head_count_kv: int
    key_length: int
    value_length: int
    vocabulary: int
    chat_template: str | None
    special_tokens: tuple[str, ...]
    control_ids: Mapping[str, int]  # of the control tokens, by text
    longest_token: int
    bos_token: str
    eos_token: str
    tensor_count: int
    values: Mapping[str, Any] = field(repr=False)

    @property
    def pools(self) -> bool:
        """Whether this is a model for embeddings, which pools its tokens (mean, first, last) into one vector."""
        return self.values.get(f"{self.architecture}.pooling_type", 0) in (1, 2, 3)

    @property
    def template_sha256(self) -> str | None:
        """Digest of the chat template, which can change between uploads of the same model."""
        return hashlib.sha256(self.chat_template.encode()).hexdigest() if self.chat_template is not None else None


@dataclass(frozen=True)
class TensorInfo:
    """One tensor. `shape` is as in the file, the fastest dimension first. `offset` counts from the data's start."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int

    @property
    def size_bytes(self) -> int:
        """The bytes of its values."""
        values, size = _BLOCKS[self.type]
        return math.prod(self.shape) // values * size


@dataclass(frozen=True)
class Layout:
    """The parts of a file. `header` is everything before the list of tensors.

    `places` are the positions of the header's values, by key. `data_start` is the position of the first tensor's data.
    """

    header: bytes
    places: Mapping[str, int]
    tensors: tuple[TensorInfo, ...]
    alignment: int
    data_start: int


def read_layout(path: Path) -> Layout:
    """The layout of a file whose tensors have types that this module knows.

    Raises:
        ModelCorrupt: if there is no header, or it is cut, or it has impossible lengths or other types.
    """
    try:
        with path.open("rb") as file:
            return _layout(file, path)
    except _UNREADABLE as error:
        raise ModelCorrupt(f"{path}: the GGUF header cannot be read: {error}.", key="file") from None


def _layout(file: BinaryIO, path: Path) -> Layout:
    count, keys = _counts(file, path)
    places: dict[str, int] = {}
    alignment = 32  # docs/gguf.md, general.alignment
    for _ in range(keys):
        key = _string(file).decode()
        (kind,) = _unpack(file, "<I")
        places[key] = file.tell()
        value = _value(file, kind)
        if key == "general.alignment":
            alignment = int(value)
    end = file.tell()
    tensors = tuple(_tensor(file) for _ in range(count))
    data_start = file.tell() + -file.tell() % alignment
    file.seek(0)
    return Layout(_take(file, end), places, tensors, alignment, data_start)


def _tensor(file: BinaryIO) -> TensorInfo:
    name = _string(file).decode()
    (dimensions,) = _unpack(file, "<I")
    if dimensions > MAX_DIMENSIONS:
        raise EOFError(f"a tensor of {dimensions} dimensions")
    shape = _unpack(file, f"<{dimensions}Q")
    kind, offset = _unpack(file, "<IQ")
    if kind not in _BLOCKS:
        raise EOFError(f"a tensor of type {kind}")
    return TensorInfo(name, shape, kind, offset)


def read_metadata(path: Path) -> Metadata:
    """The header of a GGUF file.

    Raises:
        ModelCorrupt: if there is no header, or it is cut, or it has impossible lengths.
    """
    with path.open("rb") as file:
        return parse_metadata(file, path)


def parse_metadata(file: BinaryIO, name: Path | str) -> Metadata:
    """The header that an open file begins with. Nothing behind it is read. `name` is for messages.

    Raises:
        ModelCorrupt: if there is no header, or it is cut, or it has impossible lengths.
    """
    try:
        return _parse(file, name)
    except _UNREADABLE as error:
        raise ModelCorrupt(f"{name}: the GGUF header cannot be read: {error}.", key="file") from None


def _counts(file: BinaryIO, path: Path | str) -> tuple[int, int]:
    """The numbers of tensors and of keys, which the file begins with."""
    if file.read(4) != MAGIC:
        raise ModelCorrupt(f"{path}: not a GGUF file.", key="file")
    (version,) = _unpack(file, "<I")
    if version not in (2, 3):
        raise ModelCorrupt(f"{path}: GGUF version {version}; versions 2 and 3 are known.", key="file")
    tensors, keys = _unpack(file, "<QQ")
    if keys > MAX_KEYS:
        raise EOFError(f"{keys} keys")
    return tensors, keys


def _parse(file: BinaryIO, path: Path | str) -> Metadata:
    tensors, count = _counts(file, path)
    values: dict[str, Any] = {}
    for _ in range(count):
        key = _string(file).decode()
        (kind,) = _unpack(file, "<I")
        values[key] = _value(file, kind)
    tokens = values.pop("tokenizer.ggml.tokens", [])
    types = values.pop("tokenizer.ggml.token_type", [])
    scalars = {key: value for key, value in values.items() if not isinstance(value, list)}
    name = str(scalars.get("general.architecture", ""))

    def number(key: str, fallback: int = 0) -> int:
        """A number of the architecture. If layers differ it is the largest, so that no estimate is too low."""
        value = values.get(f"{name}.{key}", fallback)
        return int(max(value) if isinstance(value, list) else value)

    def token(key: str) -> str:
        index = scalars.get(f"tokenizer.ggml.{key}")
        return _text(tokens[index]) if isinstance(index, int) and 0 <= index < len(tokens) else ""

    heads = number("attention.head_count", 1)
    width = number("embedding_length")
    size = width // max(1, heads)
    controls = {_text(raw): at for at, (raw, kind) in enumerate(zip(tokens, types, strict=False)) if kind == CONTROL}
    special = {_text(text) for text, kind in zip(tokens, types, strict=False) if kind in (CONTROL, USER_DEFINED)}
    template = scalars.get("tokenizer.chat_template")
    # A byte-level vocabulary writes each byte as one character, the others are plain UTF-8.
    bytewise = scalars.get("tokenizer.ggml.model") == "gpt2"
    longest = 0
    for raw in tokens:
        if isinstance(raw, bytes) and len(raw) > longest:  # a text has at most as many characters as bytes
            longest = max(longest, len(_text(raw)) if bytewise else len(raw))
    return Metadata(
        architecture=name,
        context_length=number("context_length"),
        block_count=number("block_count"),
        embedding_length=width,
        head_count=heads,
        head_count_kv=number("attention.head_count_kv", heads),
        key_length=number("attention.key_length", size),
        value_length=number("attention.value_length", size),
        vocabulary=len(tokens),
        chat_template=str(template) if template is not None else None,
        longest_token=longest,
        special_tokens=tuple(sorted(text for text in special if text.strip())),
        control_ids=controls,
        bos_token=token("bos_token_id"),
        eos_token=token("eos_token_id"),
        tensor_count=tensors,
        values=scalars,
    )


def _text(raw: Any) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)


def _take(file: BinaryIO, size: int) -> bytes:
    if size > MAX_BYTES:
        raise EOFError(f"a value of {size} bytes")
    data = file.read(size)
    if len(data) < size:
        raise EOFError("the file ends inside its header")
    return data


def _unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack(form, _take(file, struct.calcsize(form)))


def _string(file: BinaryIO) -> bytes:
    (length,) = _unpack(file, "<Q")
    return _take(file, length)


def _strings(file: BinaryIO, count: int) -> list[bytes]:
    """Texts one behind the other. Vocabularies have hundreds of thousands, so this calls nothing else for each."""
    read, size_of, most = file.read, struct.Struct("<Q").unpack, MAX_BYTES
    strings = []
    for _ in range(count):
        (size,) = size_of(read(8))
        if size > most:
            raise EOFError(f"a value of {size} bytes")
        string = read(size)
        if len(string) < size:
            raise EOFError("the file ends inside its header")
        strings.append(string)
    return strings


def _value(file: BinaryIO, kind: int) -> Any:
    if kind in _SCALARS:
        return _unpack(file, _SCALARS[kind])[0]
    if kind == _STRING:
        return _string(file).decode()
    if kind != _ARRAY:
        raise EOFError(f"a value of unknown type {kind}")
    (item,) = _unpack(file, "<I")
    (length,) = _unpack(file, "<Q")
    if length > MAX_ITEMS:
        raise EOFError(f"an array of {length} items")
    if item == _STRING:
        return _strings(file, length)
    if item == _ARRAY:
        return [_value(file, _ARRAY) for _ in range(length)]
    form = _SCALARS[item]
    return list(struct.unpack(f"<{length}{form[1]}", _take(file, length * struct.calcsize(form))))
