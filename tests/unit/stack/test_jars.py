"""Kafka's jars: only the files that tradeloop was built with, and all of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tradeloop.errors import PartFailed
from tradeloop.stack import jars
from tradeloop.stack.part import Context, StartBrokenOff

CONTENTS = {"kafka.jar": b"the broker", "slf4j.jar": b"its log"}


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    monkeypatch.setattr(jars, "expected_hashes", lambda: hashes)
    return jars.folder()


class Fetching:
    """What a start knows; jgo is played."""

    def __init__(
        self, folder: Path, contents: dict[str, bytes] | None = None, problem: PartFailed | None = None
    ) -> None:
        self.home = SimpleNamespace(root=folder)
        self.reports: list[str] = []
        self.calls = 0
        self._folder, self._problem = folder, problem
        self._contents = CONTENTS if contents is None else contents

    def report(self, words: str) -> None:
        self.reports.append(words)

    def run(self, _: str, argv: list[str], environment: dict[str, str], *, within_s: float) -> Path:  # noqa: ARG002 - the part's
        self.calls += 1
        assert jars.COORDINATES in argv
        assert environment["PATH"].startswith(environment["JAVA_HOME"])
        if self._problem:
            raise self._problem
        log = self._folder / "jgo.log"
        paths = []
        for name, content in self._contents.items():
            path = self._folder / name
            path.write_bytes(content)
            paths.append(str(path))
        log.write_text("\n".join(["resolving", *paths, ""]))
        return log


def start(fetching: Fetching) -> str:
    return jars.classpath(cast(Context, cast(Any, fetching)))


def test_the_first_start_fetches_and_the_next_finds_them(cache: Path, tmp_path: Path) -> None:
    fetching = Fetching(tmp_path)
    first = start(fetching)
    assert first == start(fetching) == os.pathsep.join(str(cache / name) for name in sorted(CONTENTS))
    assert (fetching.calls, len(fetching.reports)) == (1, 1)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == CONTENTS


def test_a_file_that_was_altered_or_lost_later_is_fetched_again(cache: Path, tmp_path: Path) -> None:
    start(Fetching(tmp_path))
    (cache / "kafka.jar").write_bytes(b"altered")
    (cache / "slf4j.jar").unlink()
    start(Fetching(tmp_path))
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == CONTENTS


def test_a_file_with_another_hash_is_refused_and_nothing_is_kept(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(PartFailed, match=r"kafka\.jar is not the file that tradeloop was built with") as refused:
        start(Fetching(tmp_path, CONTENTS | {"kafka.jar": b"of somebody else"}))
    assert "mirror" in refused.value.hint
    assert not list(cache.parent.iterdir())


def test_jars_that_did_not_come_are_named(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(PartFailed, match=r"cannot be had in full: slf4j\.jar did not come"):
        start(Fetching(tmp_path, {"kafka.jar": CONTENTS["kafka.jar"]}))
    assert not cache.exists()


def test_two_starts_at_once_both_find_them(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def after_another(self: Path, target: Path) -> Path:
        target.mkdir(parents=True)
        for name, content in CONTENTS.items():
            (target / name).write_bytes(content)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", after_another)
    start(Fetching(tmp_path))
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("/logs/jgo.log\nTraceback\nConnectionError: no route", "ConnectionError: no route\n  log: /logs/jgo.log"),
        ("/logs/jgo.log", "/logs/jgo.log"),
    ],
)
def test_a_network_that_is_away_is_said_with_what_to_do(cache: Path, tmp_path: Path, where: str, told: str) -> None:
    with pytest.raises(PartFailed, match="could not be fetched") as refused:
        start(Fetching(tmp_path, problem=PartFailed("jgo failed.", where=where)))
    assert refused.value.where == told
    assert "TRADELOOP_KAFKA_BOOTSTRAP" in refused.value.hint


def test_a_start_that_was_broken_off_stays_that(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(StartBrokenOff):
        start(Fetching(tmp_path, problem=StartBrokenOff()))


def test_certificates_of_the_environment_reach_the_fetcher(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/firm.pem")
    seen: Callable[..., dict[str, str]] = jars._environment
    assert seen(cast(Context, cast(Any, Fetching(tmp_path))))["REQUESTS_CA_BUNDLE"] == "/etc/firm.pem"


def test_without_a_cache_folder_of_its_own_the_homes_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert jars.folder() == tmp_path / ".cache" / "tradeloop" / f"kafka-{jars.KAFKA_VERSION}"
