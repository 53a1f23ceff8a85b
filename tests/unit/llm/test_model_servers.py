"""The servers of tests and benchmark: what is missing, or does not start, is told."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tradeloop.errors import PartFailed, PrerequisiteMissing
from tradeloop.testing import model_server, ollama
from tradeloop.testing.random_model import write_random_model


def test_the_same_seed_is_the_same_model(tmp_path: Path) -> None:
    one, same, other = (write_random_model(tmp_path / f"{n}.gguf", seed=seed) for n, seed in enumerate((1, 1, 2)))
    assert one.read_bytes() == same.read_bytes() != other.read_bytes()


def test_a_model_without_its_packages_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(PrerequisiteMissing, match="gguf"):
        write_random_model(tmp_path / "x.gguf")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(PrerequisiteMissing, match="xllamacpp"), model_server.model_server(tmp_path / "x.gguf"):
        pass


def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"nothing")
    with pytest.raises(PartFailed, match="did not answer"), model_server.model_server(tmp_path / "x.gguf"):
        pass


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go that builds a program of one line, or fails."""
    program = tmp_path / "bin" / "go"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\n[ -f "$FAIL" ] && echo no network >&2 && exit 1\nmkdir -p "$GOBIN"; echo built >"$GOBIN/ollama"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FAIL", str(tmp_path / "fail"))
    return tmp_path


def test_ollama_is_built_once(go: Path) -> None:
    program = ollama.ollama_program()
    (go / "fail").touch()

    assert ollama.ollama_program() == program
    assert program.read_text() == "built\n"
    assert [one.name for one in program.parent.iterdir()] == ["ollama"]


def test_a_build_that_fails_is_told(go: Path) -> None:
    (go / "fail").touch()
    with pytest.raises(PrerequisiteMissing, match="could not be built: no network"):
        ollama.ollama_program()


def test_an_ollama_that_ends_at_once_is_told(go: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = ollama.ollama_program()
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(PartFailed, match="ended with 3"), ollama.ollama_server(go, go / "x.gguf"):
        pass
