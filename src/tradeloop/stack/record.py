"""`stack.json`: what runs in a home, for the other commands and for the next start."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from tradeloop.stack.home import Home, read_json, write_private
from tradeloop.stack.processes import created_at, is_same

State = Literal["waiting", "preparing", "starting", "ready", "restarting", "failed", "stopping", "stopped"]


class PartRecord(BaseModel):
    """One part, as last seen by the process that runs the stack."""

    name: str
    label: str
    state: State = "waiting"
    detail: str = ""
    pid: int = 0
    pgid: int = 0
    created_at: float = 0.0
    """Of the process; with the pid it identifies it."""
    port: int = 0
    log: str = ""
    restarts: int = 0
    elapsed_s: float = 0.0
    """From the start of the stack to the present state."""


class Owner(BaseModel):
    """The process that runs the stack."""

    pid: int = 0
    created_at: float = 0.0
    kind: Literal["supervisor", "embedded"] = "embedded"

    @classmethod
    def this_process(cls, kind: Literal["supervisor", "embedded"]) -> Owner:
        return cls(pid=os.getpid(), created_at=created_at(os.getpid()), kind=kind)

    def lives(self) -> bool:
        return self.pid > 0 and is_same(self.pid, self.created_at)


class Failure(BaseModel):
    """Why a start failed, for whoever waits for it in another process."""

    message: str = ""
    where: str = ""
    hint: str = ""


class StackRecord(BaseModel):
    """The whole stack; it holds no password."""

    state: Literal["starting", "up", "stopping", "down", "failed"] = "down"
    failure: Failure | None = None
    owner: Owner = Field(default_factory=Owner)
    parts: dict[str, PartRecord] = Field(default_factory=dict)
    addresses: dict[str, str] = Field(default_factory=dict)
    ports: dict[str, dict[str, int]] = Field(default_factory=dict)
    socket_folder: str = ""
    notes: list[str] = Field(default_factory=list)


def load_record(home: Home) -> StackRecord:
    """The record of a home; an empty one when there is none or it cannot be read."""
    try:
        return StackRecord.model_validate(read_json(home.record_file))
    except ValueError:
        return StackRecord()


class RecordKeeper:
    """Writes every change of the record to the home at once."""

    def __init__(self, home: Home, record: StackRecord) -> None:
        self.record = record
        self._path: Path = home.record_file
        self._lock = threading.Lock()

    def save(self) -> None:
        with self._lock:
            write_private(self._path, self.record.model_dump(mode="json"))
