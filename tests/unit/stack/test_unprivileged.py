"""How PostgreSQL is started by root: programs of this test's own stand for what a machine allows."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tradeloop.errors import PrerequisiteMissing
from tradeloop.stack import unprivileged
from tradeloop.stack.unprivileged import Way, data_folder, give, runnable, way

ALLOWED = '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n'
"""Runs what comes after its options, as unshare and setpriv do."""
FORBIDDEN = "#!/bin/sh\nexit 1\n"
OTHER = pwd.struct_passwd(("nobody", "x", os.getuid() or 65_534, os.getgid() or 65_534, "", "/", "/bin/sh"))

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    """Make this a machine that root runs, with these programs and one account beside root's."""
    programs = tmp_path / "bin"
    programs.mkdir()

    def make(**texts: str) -> None:
        for name, text in texts.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(pwd, "getpwall", lambda: [OTHER])
        monkeypatch.setattr(unprivileged, "SHARED", tmp_path / "shared")

    way.cache_clear()
    yield make
    way.cache_clear()


def test_an_ordinary_user_needs_no_way(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert way() == Way()
    assert data_folder(tmp_path) == tmp_path / "postgres"
    assert runnable(tmp_path) == tmp_path


def test_root_takes_a_user_namespace_where_there_is_one(machine: Machine, tmp_path: Path) -> None:
    machine(unshare=ALLOWED, setpriv=ALLOWED)

    assert way().words[:2] == ("unshare", "--user")
    assert way().account is None
    assert data_folder(tmp_path) == tmp_path / "postgres"


def test_root_takes_another_account_where_namespaces_are_blocked(machine: Machine) -> None:
    machine(unshare=FORBIDDEN, setpriv=ALLOWED)

    assert way() == Way(
        ("setpriv", f"--reuid={OTHER.pw_uid}", f"--regid={OTHER.pw_gid}", "--clear-groups"), account=OTHER
    )


def test_a_machine_that_allows_neither_is_told_what_to_do(machine: Machine) -> None:
    machine(unshare=FORBIDDEN, setpriv=FORBIDDEN)

    with pytest.raises(PrerequisiteMissing, match="neither a user namespace nor another account") as refused:
        way()

    assert "TRADELOOP_DATABASE_URL" in refused.value.hint


def test_a_machine_without_another_account_is_told_the_same(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(unshare=ALLOWED, setpriv=ALLOWED)
    monkeypatch.setattr(pwd, "getpwall", lambda: [pwd.getpwuid(0)])

    with pytest.raises(PrerequisiteMissing):
        way()


def test_the_data_of_another_account_are_outside_the_home_and_found_again(machine: Machine, tmp_path: Path) -> None:
    machine(unshare=FORBIDDEN, setpriv=ALLOWED)
    home = tmp_path / "home"
    home.mkdir(mode=0o700)

    place = data_folder(home)

    assert place.parent.parent == tmp_path / "shared"
    assert (home / "postgres").resolve() == place
    assert (place.stat().st_uid, place.stat().st_mode & 0o777) == (OTHER.pw_uid, 0o700)
    assert place.parent.stat().st_mode & 0o777 == 0o755
    assert data_folder(home) == place


def test_data_that_are_in_the_home_stay_there(machine: Machine, tmp_path: Path) -> None:
    machine(unshare=FORBIDDEN, setpriv=ALLOWED)
    (tmp_path / "postgres").mkdir()

    assert data_folder(tmp_path) == tmp_path / "postgres"


def test_a_file_is_given_to_the_account_that_reads_it(machine: Machine, tmp_path: Path) -> None:
    machine(unshare=FORBIDDEN, setpriv=ALLOWED)
    file = tmp_path / "password"
    file.touch()

    give(file)

    assert file.stat().st_uid == OTHER.pw_uid


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """PostgreSQL's package as it is installed: programs in it, libraries beside it."""
    folder = tmp_path / "site" / "postgres" / "share" / "bin"
    folder.mkdir(parents=True)
    (folder / "initdb").write_text("#!/bin/sh\n")
    (folder / "initdb").chmod(0o755)
    (tmp_path / "site" / "postgres.libs").mkdir()
    (tmp_path / "site" / "postgres.libs" / "libpq.so").touch()
    return folder


def test_programs_that_the_account_can_enter_are_used_where_they_are(machine: Machine, programs: Path) -> None:
    machine(unshare=FORBIDDEN, setpriv=ALLOWED)

    assert runnable(programs) == programs


def test_programs_that_it_cannot_enter_are_copied_once_with_their_libraries(
    machine: Machine, programs: Path, tmp_path: Path
) -> None:
    below_the_home = 'case "$*" in *site*) exit 1 ;; esac\n'
    machine(unshare=FORBIDDEN, setpriv=ALLOWED.replace("exec", f"{below_the_home}exec"))

    copied = runnable(programs)
    first = (copied / "initdb").stat().st_mtime_ns

    assert copied.is_relative_to(tmp_path / "shared")
    assert (copied / "initdb").read_text() == "#!/bin/sh\n"
    assert [path.name for path in (tmp_path / "shared").rglob("libpq.so")] == ["libpq.so"]
    assert runnable(programs) == copied
    assert (copied / "initdb").stat().st_mtime_ns == first
