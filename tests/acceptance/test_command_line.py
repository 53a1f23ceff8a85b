"""The command line as a person has it before them: a real pseudo-terminal, real PostgreSQL and Kafka."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

Words = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(servers: dict[str, str], database_url: str, tmp_path: Path) -> dict[str, str]:
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("TRADELOOP_", "NO_COLOR", "FORCE_"))}
    tail = uuid4().hex[:8]
    return ours | {
        "TRADELOOP_HOME": str(tmp_path / "home"),
        "TRADELOOP_DATABASE_URL": database_url,
        "TRADELOOP_KAFKA_BOOTSTRAP": servers["kafka_bootstrap"],
        "TRADELOOP_EVENTS_TOPIC": f"events-{tail}",
        "TRADELOOP_DECISIONS_TOPIC": f"decisions-{tail}",
        "TRADELOOP_DEAD_LETTERS_TOPIC": f"letters-{tail}",
        "TERM": "xterm",
    }


@pytest.fixture
def piped(environment: dict[str, str], tmp_path: Path) -> Words:
    """Run a command as a script does: pipes on both ends."""

    def run(*words: str, given: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tradeloop", *words],
            env=environment | more,
            cwd=tmp_path,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def at_terminal(
    environment: dict[str, str], folder: Path, *words: str, columns: int = 80, ctrl_c_after: str = ""
) -> tuple[int, str]:
    """Run a command at a terminal of so many columns: exit code, and all that appeared on it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "tradeloop", *words],
        env=environment,
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # Linux says so when the last writer has gone
            break
        if not piece:
            break
        seen += piece
        if ctrl_c_after and ctrl_c_after.encode() in seen:
            process.send_signal(signal.SIGINT)
            ctrl_c_after = ""
    os.close(ours)
    text = seen.decode().replace("\r\n", "\n")
    return process.wait(60), re.sub(r"\r\x1b\[K[^\r\n]*(?=\r)|\r\x1b\[K", "", text)  # a wait's line comes and goes


def event(subject: str, event_type: str = "cli.tested") -> str:
    fields = {
        "event_id": str(uuid4()),
        "event_type": event_type,
        "timestamp": "2026-11-25T12:00:00Z",
        "source": "script",
        "workflow_id": "load",
        "workflow_run_id": "manual__1",
        "subject": subject,
    }
    return json.dumps(fields)


def test_topics_are_checked_made_and_found_well(piped: Words) -> None:
    before = piped("topics", "check")
    made = piped("topics", "create", "--json")
    after = piped("topics", "check", "--json")
    assert (before.returncode, before.stdout.count("does not exist")) == (6, 3)
    assert "next: tradeloop topics create" in before.stdout
    assert (made.returncode, len(json.loads(made.stdout)["created"])) == (0, 3)
    assert (after.returncode, [topic["faults"] for topic in json.loads(after.stdout)]) == (0, [[], [], []])


def test_events_are_published_line_by_line_and_what_is_refused_is_named(piped: Words) -> None:
    piped("topics", "create")
    answer = piped("events", "publish", "-", given="\n".join([event("SPX"), "{broken", event("NDX")]))
    assert answer.returncode == 1
    assert len(answer.stdout.splitlines()) == 2
    assert "error: - line 2: " in answer.stderr
    assert "2 published, 0 kept, 1 refused" in answer.stderr
    tailed = piped("events", "tail", "--since", "1h", "--no-follow", "--json", "--subject", "N*")
    assert (tailed.returncode, tailed.stderr) == (0, "")
    assert [json.loads(line)["subject"] for line in tailed.stdout.splitlines()] == ["NDX"]


def test_a_schema_that_is_up_to_date_has_nothing_to_apply(piped: Words) -> None:
    dry = piped("db", "migrate", "--dry-run", "--json")
    assert (dry.returncode, json.loads(dry.stdout)) == (0, {"applied": [], "pending": []})
    status = piped("db", "status", "--json")
    assert (status.returncode, json.loads(status.stdout)["refusal"]) == (0, "")


def test_the_doctor_says_what_is_wrong_and_what_to_do(piped: Words) -> None:
    found = piped("doctor", "--json")
    by_words = json.loads(found.stdout)
    assert found.returncode == 6
    ill = [finding for finding in by_words if not finding["is_well"]]
    assert {"settings", "kafka", "airflow", "processes"} <= {finding["part"] for finding in ill}
    assert [finding["words"] for finding in ill if not finding["hint"]] == []
    assert {"postgres", "machine"} <= {finding["part"] for finding in by_words if finding["is_well"]}


def test_the_doctor_ends_with_7_when_a_part_is_away(piped: Words) -> None:
    found = piped("doctor", "postgres", TRADELOOP_DATABASE_URL="postgresql://u:secret@127.0.0.1:1/x")
    assert (found.returncode, found.stderr) == (7, "")
    assert "✗ postgres   PostgreSQL at 127.0.0.1:1 did not answer: Connection refused" in found.stdout
    assert "secret" not in found.stdout


def test_an_answer_at_a_terminal_has_colour_only_where_it_is_wanted(
    environment: dict[str, str], tmp_path: Path, piped: Words
) -> None:
    piped("topics", "create")
    code, seen = at_terminal(environment, tmp_path, "topics", "check")
    assert (code, seen.count("✓")) == (0, 3)
    code, seen = at_terminal(environment, tmp_path, "runs", "list")
    assert (code, seen) == (0, "No run matches.\n")
    code, seen = at_terminal(environment, tmp_path, "runs", "list", "-q", "--json")
    assert (code, seen) == (0, "[]\n")


def test_ctrl_c_while_events_are_followed_ends_with_130_and_a_word(
    environment: dict[str, str], tmp_path: Path, piped: Words
) -> None:
    piped("topics", "create")
    code, seen = at_terminal(environment, tmp_path, "events", "tail", ctrl_c_after="Ctrl-C ends it")
    assert code == 130, seen
    assert seen.endswith("interrupted: nothing was changed\n")


def test_removing_everything_asks_at_a_terminal_and_no_means_no(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    ours = environment | {"TRADELOOP_HOME": str(tmp_path / "home")}
    code, seen = at_terminal(ours, tmp_path, "down", "--wipe", ctrl_c_after="[y/N]")
    assert code == 130
    assert "Remove all data" in seen
    assert (tmp_path / "home").is_dir()
