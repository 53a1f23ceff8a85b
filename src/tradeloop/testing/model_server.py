"""llama.cpp's own HTTP server on a free port of loopback, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from socket import create_server
from typing import Final
from urllib.error import URLError

from tradeloop.errors import PartFailed, PrerequisiteMissing

START_S: Final = 30.0
SLOTS: Final = 4
"""Answers at a time; further questions wait."""
PROGRAM: Final = """
import os, sys, threading, xllamacpp
parameters = xllamacpp.CommonParams()
parameters.model.path = sys.argv[1]
parameters.hostnames, parameters.port = ["127.0.0.1"], int(sys.argv[2])
parameters.n_parallel = int(sys.argv[3])
parameters.n_ctx = int(sys.argv[4])
parameters.model_alias = {sys.argv[5]}
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
parameters.sampling.top_k = 20
parameters.warmup = False
parameters.fit_params = False
server = xllamacpp.Server(parameters)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
threading.Event().wait()
"""
"""Ends when its standard input does, so that it outlives nobody."""


@contextmanager
def model_server(model: Path, *, name: str = "random", context: int = 32_768, log: Path | None = None) -> Iterator[str]:
    """Serve a GGUF file; the OpenAI-compatible base URL, which ends in `/v1`. `context`: tokens of one slot.

    Raises:
        PrerequisiteMissing: the package `xllamacpp` is not installed.
        PartFailed: it did not answer in time.
    """
    from importlib.util import find_spec

    if find_spec("xllamacpp") is None:
        raise PrerequisiteMissing("the package xllamacpp is not installed.", hint="pip install xllamacpp")
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (log or Path(os.devnull)).open("wb") as out:
        command = [sys.executable, "-c", PROGRAM, str(model), str(port), str(SLOTS), str(context * SLOTS), name]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT)
        try:
            _await(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            assert process.stdin is not None  # noqa: S101 - for the type checker
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - loopback
                if answer.status == HTTPStatus.OK:
                    return
        except (URLError, OSError):
            time.sleep(0.05)
    raise PartFailed(f"the model server at {url} did not answer; its process ended with {process.poll()}")
