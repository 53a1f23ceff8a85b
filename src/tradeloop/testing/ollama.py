"""A real Ollama on a free port of loopback: built once a machine, by Go, into the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from typing import Final

from tradeloop.errors import PartFailed, PrerequisiteMissing

VERSION: Final = "v0.6.5"
"""The last that builds with Go and a C compiler alone."""
BUILD_S: Final = 1800.0
START_S: Final = 30.0


def ollama_program() -> Path:
    """Ollama's program: from the cache, or built into it, which takes some six minutes of one core.

    Raises:
        PrerequisiteMissing: it is not in the cache, and there is no Go; or it could not be built.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tradeloop" / "ollama" / VERSION
    program = cache / "ollama"
    if program.is_file():
        return program
    go = shutil.which("go")
    if go is None:
        raise PrerequisiteMissing(f"Ollama is not in {cache}, and Go, which builds it, is not on PATH.")
    cache.mkdir(parents=True, exist_ok=True)
    scratch = cache / f"build-{os.getpid()}"
    environment = os.environ | {"GOBIN": str(scratch), "GOFLAGS": "-p=1"}
    command = ["nice", "-n", "19", go, "install", f"github.com/ollama/ollama@{VERSION}"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=BUILD_S, check=False)
        if done.returncode:
            raise PrerequisiteMissing(f"Ollama {VERSION} could not be built: {done.stderr.strip()[-500:]}")
        (scratch / "ollama").replace(program)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return program


@contextmanager
def ollama_server(folder: Path, model: Path, name: str = "random") -> Iterator[str]:
    """Ollama with one model, made of a GGUF file; its URL. Everything it keeps is below `folder`.

    Raises:
        PrerequisiteMissing: no program, and none can be built.
        PartFailed: it did not start, or did not take the model.
    """
    program = ollama_program()
    with create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {
        "HOME": str(folder),
        "OLLAMA_HOST": address,
        "OLLAMA_MODELS": str(folder / "models"),
        "OLLAMA_NUM_PARALLEL": "1",
    }
    with (folder / "ollama.log").open("wb") as log:
        process = subprocess.Popen([str(program), "serve"], env=environment, stdout=log, stderr=log)
        try:
            _await(f"http://{address}/api/version", process)
            recipe = folder / "Modelfile"
            recipe.write_text(f"FROM {model.absolute()}\n")
            made = subprocess.run(
                [str(program), "create", name, "-f", str(recipe)],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            if made.returncode:
                raise PartFailed(f"Ollama did not take the model: {made.stderr.strip()[-300:]}")
            yield f"http://{address}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - loopback
                return
        except OSError:
            time.sleep(0.05)
    raise PartFailed(f"Ollama at {url} did not answer; its process ended with {process.poll()}")
