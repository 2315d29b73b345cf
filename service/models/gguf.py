"""Read the header of a GGUF file, without llama.cpp.

In: a path. Out: `Metadata`. Only the header is read: a few megabytes even of a large file, because it holds the
vocabulary. Format: ggml-org/ggml docs/gguf.md, versions 2 and 3.
Not here: the weights.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from service.errors import ModelCorrupt

MAGIC = b"GGUF"
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
CONTROL, USER_DEFINED = 3, 4  # llama.cpp's token types: text in input must never become one of these
MAX_KEYS, MAX_ITEMS, MAX_BYTES = 4096, 4_000_000, 64 * 1024 * 1024  # a corrupt length must not take all memory


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


def read_metadata(path: Path) -> Metadata:
    """The header of a GGUF file.

    Raises:
        ModelCorrupt: if there is no header, or it is cut, or it has impossible lengths.
    """
    try:
        with path.open("rb") as file:
            return _parse(file, path)
    except (struct.error, ValueError, TypeError, KeyError, EOFError, RecursionError, OverflowError) as error:
        raise ModelCorrupt(f"{path}: the GGUF header cannot be read: {error}.", key="file") from None


def _parse(file: BinaryIO, path: Path) -> Metadata:
    if file.read(4) != MAGIC:
        raise ModelCorrupt(f"{path}: not a GGUF file.", key="file")
    (version,) = _unpack(file, "<I")
    if version not in (2, 3):
        raise ModelCorrupt(f"{path}: GGUF version {version}; versions 2 and 3 are known.", key="file")
    tensors, count = _unpack(file, "<QQ")
    if count > MAX_KEYS:
        raise EOFError(f"{count} keys")
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
    longest = max((len(_text(raw)) if bytewise else len(raw) for raw in tokens if isinstance(raw, bytes)), default=0)
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
        return [_string(file) for _ in range(length)]
    if item == _ARRAY:
        return [_value(file, _ARRAY) for _ in range(length)]
    form = _SCALARS[item]
    return list(struct.unpack(f"<{length}{form[1]}", _take(file, length * struct.calcsize(form))))
