"""What models said, kept in a file and played again: the same questions get the same answers, and no others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from tradeloop.domain.canonical import canonical_json, sha256_hex
from tradeloop.errors import CassetteMiss, ModelFailed, SettingInvalid
from tradeloop.llm.chain import Link
from tradeloop.llm.chat import Manner, Said
from tradeloop.llm.prompt import Prompt


class Line(BaseModel):
    """One line of the file. It holds the answer, and of the question only the hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    key: str
    kind: Literal["said", "failed"]
    model: str
    text: str
    tokens_in: int = 0
    tokens_out: int = 0


class Cassette(Protocol):
    """Where answers may come from, and go to."""

    def played(self, link: Link, manner: Manner, prompt: Prompt) -> Said | None:
        """The answer that stands there; None: ask the model.

        Raises:
            CassetteMiss: only the file is to be asked, and does not hold it.
            ModelFailed: the model gave none then.
        """
        ...

    def keep(self, link: Link, manner: Manner, prompt: Prompt, said: Said | ModelFailed) -> None:
        """Add what was said."""
        ...


def key_of(link: Link, manner: Manner, prompt: Prompt) -> str:
    """sha256 of model, sampling, messages and schema."""
    params = manner.params_for(link) | {"max_tokens": manner.max_tokens}
    return sha256_hex(canonical_json([str(link), params, prompt.digest]))


class NoCassette:
    """Nothing is played, nothing kept."""

    def played(self, link: Link, manner: Manner, prompt: Prompt) -> Said | None:  # noqa: ARG002
        """Nothing."""
        return None

    def keep(self, link: Link, manner: Manner, prompt: Prompt, said: Said | ModelFailed) -> None:
        """Nothing."""


class Recording(NoCassette):
    """Adds every answer to the file; several processes may share one."""

    def __init__(self, path: Path) -> None:
        """Raises SettingInvalid when the file cannot be written."""
        self._path = path
        self._write(b"")

    def keep(self, link: Link, manner: Manner, prompt: Prompt, said: Said | ModelFailed) -> None:
        """Add one line, in one write."""
        key, model = key_of(link, manner, prompt), str(link)
        if isinstance(said, ModelFailed):
            line = Line(key=key, kind="failed", model=model, text=said.message.encode("utf-8", "replace").decode())
        else:
            line = Line(
                key=key,
                kind="said",
                model=model,
                text=said.text.encode("utf-8", "replace").decode(),
                tokens_in=said.tokens_in,
                tokens_out=said.tokens_out,
            )
        self._write(line.model_dump_json().encode() + b"\n")

    def _write(self, line: bytes) -> None:
        try:
            number = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(number, line)
            finally:
                os.close(number)
        except OSError as problem:
            raise SettingInvalid(f"TRADELOOP_MODEL_RECORD is {self._path}: {problem.strerror}.") from problem


class Replay(NoCassette):
    """Answers from the file alone; of several answers to one question the last."""

    def __init__(self, path: Path) -> None:
        """Raises SettingInvalid when the file cannot be read, or a line is none of a recording."""
        self._path = path
        self._lines: dict[str, Line] = {}
        try:
            lines = path.read_bytes().splitlines()
        except OSError as problem:
            raise SettingInvalid(f"TRADELOOP_MODEL_REPLAY is {path}: {problem.strerror}.") from problem
        for number, text in enumerate(lines, 1):
            try:
                line = Line.model_validate_json(text)
            except ValidationError as problem:
                raise SettingInvalid(
                    f"TRADELOOP_MODEL_REPLAY is {path}: line {number} is none of a recording.",
                    hint="a recording that was broken off may end so: remove that line",
                ) from problem
            self._lines[line.key] = line

    def played(self, link: Link, manner: Manner, prompt: Prompt) -> Said | None:
        """The answer that stands there."""
        line = self._lines.get(key := key_of(link, manner, prompt))
        if line is None:
            raise CassetteMiss(
                f"the recording {self._path} holds no answer of {link} to the question {key[:12]}",
                hint="the prompt, the model or its sampling is another than at the recording: record anew",
            )
        if line.kind == "failed":
            raise ModelFailed(line.text)
        return Said(line.text, line.tokens_in, line.tokens_out)
