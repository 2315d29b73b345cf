"""The weights of a GGUF file as bf16 in the folder that vLLM reads, run by vLLM's Python: FILE FOLDER.

In: a GGUF file. Out: `model.safetensors`, its configuration, its tokenizer with the chat template.
Not here: vLLM's installation (`install.py`).

vLLM for CPUs does not read GGUF. transformers does, and multiplies the quantized values out.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}


def main(file: str, folder: str) -> None:
    """Write the folder. Its weights come last, so that a folder with weights is whole."""
    torch, transformers = import_module("torch"), import_module("transformers")
    save_file = import_module("safetensors.torch").save_file
    out = Path(folder)
    with tempfile.TemporaryDirectory() as source:
        (Path(source) / "model.gguf").symlink_to(Path(file).resolve())
        named = {"gguf_file": "model.gguf"}
        transformers.AutoTokenizer.from_pretrained(source, **named).save_pretrained(out)
        config = transformers.AutoConfig.from_pretrained(source, **named)
        model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16, **named)
    weights = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    written = {**config.to_dict(), "architectures": [ARCHITECTURES[config.model_type]], "dtype": "bfloat16"}
    written.pop("quantization_config", None)
    (out / "config.json").write_text(json.dumps(written, default=str), encoding="utf-8")
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main(*sys.argv[1:])
