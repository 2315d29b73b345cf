"""The worker's program: `python -m service.engine.local.worker_main FD KERNELS`, started by `process`.

In: a socket's file descriptor, the name of kernels and perhaps of a device. Out: a worker that computes with them, or
one `failed` message.
Not here: the worker (`worker`). Importing it imports llama_cpp, and the kernels must be in the process before.
"""

from __future__ import annotations

import gc
import socket
import sys

from service.engine.local import devices
from service.engine.local.protocol import encode


def main(descriptor: int, name: str) -> None:
    """Load the kernels and the device's backend, then serve."""
    connection = socket.socket(fileno=descriptor)
    try:
        gpus = devices.load(name)
    except OSError as error:
        connection.sendall(encode({"op": "failed", "reason": f"the kernels cannot be loaded: {error}"}))
        sys.exit(1)
    gc.disable()  # imports leave little garbage, and looking for it takes a tenth of their time
    from service.engine.local import worker

    gc.freeze()
    gc.enable()
    worker.main(connection, name, gpus)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
