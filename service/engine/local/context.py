"""llama.cpp's model and context as a few plain operations. One thread makes all calls.

In: a path, sizes, a thread count, then token ids. Out: token ids, logits.
Not here: requests, texts, policies. Parameters that change a token come from `recipe`.

libgomp slows down when two threads of a process use it (17 instead of 11 ms per token). So load, warm-up and decoding
share one thread, and one thread count serves prompts and answers.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import llama_cpp as llama
import numpy as np
import numpy.typing as npt

from service.engine.local import devices as devices_module
from service.engine.local import recipe
from service.engine.local.devices import Device, last_error
from service.engine.local.kernels import PORTABLE
from service.errors import ModelError

State = npt.NDArray[np.uint8]
FORKS = 16  # labels that are scored at once


def computes_with(kernels: str = PORTABLE, devices: Sequence[Device] = ()) -> str:
    """What computes in this process, which has loaded kernels of this name. See `recipe.report_of`."""
    reported = recipe.system_info(llama.llama_print_system_info().decode())
    return recipe.report_of(kernels, reported, platform.machine(), devices)


def device_list(devices: Sequence[Device]) -> Any:
    """llama.cpp's list of the devices that it may use. With an empty one it leaves all of them alone."""
    return (ctypes.c_void_p * (len(devices) + 1))(*(device.handle for device in devices), None)


def _bytes_of(data: State) -> Any:
    return data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))


log_errors = llama.llama_log_callback(devices_module.log_errors)


class Context:
    """A loaded model with `slots` sequences of `n_ctx` tokens each."""

    def __init__(
        self,
        path: Path,
        *,
        n_ctx: int,
        slots: int,
        threads: int,
        progress: Callable[[float], None] = lambda _: None,
        gpu_layers: int = 0,
        devices: Sequence[Device] = (),
        kernels: str = PORTABLE,
        one_cache: bool = False,
    ) -> None:
        llama.llama_log_set(log_errors, ctypes.c_void_p(0))
        llama.llama_backend_init()

        @llama.llama_progress_callback  # type: ignore[untyped-decorator]
        def on_progress(done: float, data: int) -> bool:
            progress(done)
            return True

        model_parameters = llama.llama_model_default_params()
        recipe.apply(recipe.model(gpu_layers), model_parameters)
        handles = device_list(devices)
        model_parameters.devices = ctypes.addressof(handles)
        model_parameters.progress_callback = on_progress
        self._keep = (on_progress, log_errors, handles)
        self._model = llama.llama_model_load_from_file(str(path).encode(), model_parameters)
        if not self._model:
            raise ModelError(f"llama.cpp cannot load {path}{last_error()}.", key="model")
        parameters = llama.llama_context_default_params()
        recipe.apply(recipe.context(kernels, one_cache=one_cache), parameters)
        # As llama.cpp rounds streams up. Sequences in one cache get the same room.
        parameters.n_ctx = -(-n_ctx // recipe.CELLS) * recipe.CELLS * slots
        parameters.n_batch = max(recipe.UBATCH, slots)
        self.can_cut = not (llama.llama_model_is_recurrent(self._model) or llama.llama_model_is_hybrid(self._model))
        """Whether `cut` can forget the last tokens of a sequence. A recurrent state has no positions."""
        self.forks = range(slots, slots + FORKS if parameters.kv_unified and self.can_cut else slots)
        """Numbers of further sequences, which `copy` fills. Streams of their own would each take memory."""
        parameters.n_seq_max = slots + len(self.forks)
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.no_perf = True
        self._context = llama.llama_init_from_model(self._model, parameters)
        self.recipe = recipe.read(recipe.MODEL, model_parameters) | recipe.read(recipe.CONTEXT, parameters)
        """The recipe's fields as llama.cpp really got them."""
        if not self._context:
            raise ModelError(
                f"llama.cpp cannot make a context of {slots} times {n_ctx} tokens{last_error()}.",
                key="SAMEBOAT_CONTEXT",
            )
        self._memory = llama.llama_get_memory(self._context)
        self.vocab = llama.llama_model_get_vocab(self._model)
        self.vocab_size: int = llama.llama_vocab_n_tokens(self.vocab)
        self.n_ctx: int = llama.llama_n_ctx(self._context) // slots
        self.shares: bool = bool(parameters.kv_unified)
        """Whether all sequences are in one cache, so that copies of a beginning take neither time nor memory."""
        self.add_bos: bool = llama.llama_vocab_get_add_bos(self.vocab)
        self.bos: int = llama.llama_vocab_bos(self.vocab)
        self.eos: int = llama.llama_vocab_eos(self.vocab)
        fill_in = (
            llama.llama_vocab_fim_pre(self.vocab),
            llama.llama_vocab_fim_suf(self.vocab),
            llama.llama_vocab_fim_mid(self.vocab),
        )
        self.fill_in: tuple[int, int, int] | None = fill_in if min(fill_in) >= 0 else None
        """The tokens in front of a prefix, a suffix and the middle, by the model's file or by their known texts."""
        # A token behind a window may take the place of the window's first one.
        self.copies_on_device: bool = gpu_layers > 0 and self.can_cut and llama.llama_model_n_swa(self._model) == 0
        """Whether `copy` leaves the keys and values on the device."""
        self.endings = frozenset(t for t in range(self.vocab_size) if llama.llama_vocab_is_eog(self.vocab, t))
        self._batch = llama.llama_batch_init(max(recipe.UBATCH, slots), 0, 1)
        self._pieces: list[bytes] = []

    @property
    def handle(self) -> Any:
        """llama.cpp's context, for the sampler chain."""
        return self._context

    def use_threads(self, count: int) -> None:
        """Set the number of compute threads, at most the number at the start."""
        llama.llama_set_n_threads(self._context, count, count)

    def piece(self, token: int) -> bytes:
        """The bytes of a token. Control tokens have none."""
        if not self._pieces:
            buffer = ctypes.create_string_buffer(512)
            for number in range(self.vocab_size):
                size = llama.llama_token_to_piece(self.vocab, number, buffer, len(buffer), 0, False)
                self._pieces.append(buffer.raw[:size] if size > 0 else b"")
        return self._pieces[token]

    def name(self, token: int) -> str:
        """How the vocabulary writes a token. Of a control token it is its text, of others it has marks for spaces."""
        return str(llama.llama_vocab_get_text(self.vocab, token).decode(errors="replace"))

    def written(self, token: int) -> bytes:
        """The bytes of a token in a text that shows control tokens too."""
        return self.piece(token) or (self.name(token).encode() if self._is_control(token) else b"")

    def _is_control(self, token: int) -> bool:
        return bool(llama.llama_vocab_get_attr(self.vocab, token) & llama.LLAMA_TOKEN_ATTR_CONTROL)

    def control_texts(self) -> list[str]:
        """How the control tokens are written in a text that may hold them."""
        control = llama.LLAMA_TOKEN_ATTR_CONTROL
        tokens = [t for t in range(self.vocab_size) if llama.llama_vocab_get_attr(self.vocab, t) & control]
        texts = [llama.llama_vocab_get_text(self.vocab, token).decode(errors="replace") for token in tokens]
        return [text for text in texts if text]

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids of a text, without a beginning-of-sequence token. Control tokens only if `special`."""
        data = text.encode("utf-8", errors="surrogatepass")
        size = len(data) + 8
        while True:
            buffer = (llama.llama_token * size)()
            count = llama.llama_tokenize(self.vocab, data, len(data), buffer, size, False, special)
            if count >= 0:
                return list(buffer[:count])
            size = -count

    def decode(self, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        """Compute one batch of (token, position, slot, whether logits are wanted).

        Raises:
            ModelError: if llama.cpp does not compute it.
        """
        batch = self._batch
        batch.n_tokens = len(rows)
        for row, (token, position, slot, wants) in enumerate(rows):
            batch.token[row] = token
            batch.pos[row] = position
            batch.n_seq_id[row] = 1
            batch.seq_id[row][0] = slot
            batch.logits[row] = wants
        code = llama.llama_decode(self._context, batch)
        if code != 0:
            raise ModelError(f"llama_decode answered {code} on a batch of {len(rows)} tokens.")

    def logits(self, row: int) -> npt.NDArray[np.float32]:
        """The logits of a row of the last batch, shape (vocab_size,). A view that the next decode overwrites."""
        return np.ctypeslib.as_array(llama.llama_get_logits_ith(self._context, row), shape=(self.vocab_size,))

    def state(self, slot: int) -> State:
        """A slot's state as bytes for `restore`. About 1 ms for 10 MB (450 tokens of the starter model).

        Raises:
            ModelError: if llama.cpp writes fewer bytes than it announced.
        """
        data = np.empty(llama.llama_state_seq_get_size(self._context, slot), dtype=np.uint8)
        written = llama.llama_state_seq_get_data(self._context, _bytes_of(data), data.nbytes, slot)
        if written != data.nbytes:
            raise ModelError(f"llama.cpp wrote {written} of {data.nbytes} bytes of a sequence's state.")
        return data

    def restore(self, slot: int, data: State) -> bool:
        """Replace a slot's state with these bytes. False, and an empty slot, if llama.cpp refuses them."""
        llama.llama_memory_seq_rm(self._memory, slot, -1, -1)
        read = llama.llama_state_seq_set_data(self._context, _bytes_of(data), data.nbytes, slot)
        if read != data.nbytes:
            llama.llama_memory_seq_rm(self._memory, slot, -1, -1)
        return bool(read == data.nbytes)

    def copy(self, source: int, target: int, size: int) -> bool:
        """Replace a slot's state with that of another one, of which the caller takes the first `size` tokens.

        False, and an empty slot, if llama.cpp refuses it. In one cache, which never refuses, both then share the keys
        and values. Between streams `llama_memory_seq_cp` copies all `n_ctx` tokens at the next decode. In the CPU's
        memory that takes longer than writing and reading the state (4 and 2 ms). A device reads and writes its state
        in thousands of pieces (114 ms on an H200 with 400 tokens, 280 ms with Vulkan, and 4 and 18 ms on the device).
        """
        if not (self.shares or self.copies_on_device):
            return self.restore(target, self.state(source))
        llama.llama_memory_seq_rm(self._memory, target, -1, -1)
        llama.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        if not self.shares:  # have it copied now, before anything else reads or changes one of the two
            self.cut(target, size)
            self.decode([(self.eos, size, target, False)])
            self.cut(target, size)
        return True

    def cut(self, slot: int, size: int) -> None:
        """Forget everything from position `size` on."""
        llama.llama_memory_seq_rm(self._memory, slot, size, -1)

    def close(self) -> None:
        """Free llama.cpp's objects."""
        llama.llama_batch_free(self._batch)
        llama.llama_free(self._context)
        llama.llama_model_free(self._model)
