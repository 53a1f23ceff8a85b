"""Logs when their disk is full: lost, counted, told, and nobody's error."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator

import pytest
import structlog

from tradeloop.observability import BestEffort, configure_logging


class Disk(io.StringIO):
    """A file that can be full."""

    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk()
    monkeypatch.setattr(sys, "stderr", made)
    configure_logging("json")
    yield made
    structlog.reset_defaults()


def lines(disk: Disk) -> list[dict[str, object]]:
    return [json.loads(line) for line in disk.getvalue().splitlines()]


def test_a_full_disk_is_no_error_of_whoever_logs_and_what_was_lost_is_told(disk: Disk) -> None:
    log = structlog.get_logger()
    log.info("decision_recorded", run_id="1")
    disk.full = True
    log.info("decision_recorded", run_id="2")
    log.error("run_failed", run_id="3")
    disk.full = False
    log.info("decision_recorded", run_id="4")
    assert [line["event"] for line in lines(disk)] == ["decision_recorded", "log_lines_lost", "decision_recorded"]
    assert lines(disk)[1]["lines"] == 2
    assert lines(disk)[2]["run_id"] == "4"


def test_a_stream_that_was_closed_is_no_error() -> None:
    sink = BestEffort(io.StringIO())
    sink._stream.close()
    sink.write("one line\n")
    assert sink.lost == 1
