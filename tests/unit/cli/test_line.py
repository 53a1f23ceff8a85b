"""The command line as a whole: options anywhere, errors in words or as JSON, defects with a report, profiles."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tradeloop import cli
from tradeloop.cli.line import arranged
from tradeloop.errors import SettingInvalid
from tradeloop.settings import load_settings

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Call]:
    """Run a command in this process, in an empty folder: exit code, stdout, stderr."""
    import os

    for name in [name for name in os.environ if name.upper().startswith("TRADELOOP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRADELOOP_PROFILE", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        load_settings.cache_clear()
        monkeypatch.setattr(sys, "argv", ["tradeloop", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        output = capsys.readouterr()
        return int(str(end.value.code)), output.out, output.err

    yield run
    load_settings.cache_clear()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["runs", "list", "--json", "-q"], ["-q", "runs", "list", "--json"]),
        (["--json", "runs", "list"], ["runs", "list", "--json"]),
        (["runs", "list", "--fields", "id,state"], ["--fields", "id,state", "runs", "list"]),
        (["runs", "list", "--time=utc", "-vv"], ["--time=utc", "-vv", "runs", "list"]),
        (["events", "publish", "--json", "--", "--json", "-q"], ["events", "publish", "--json", "--", "--json", "-q"]),
        (["runs", "list", "--profile"], ["--profile", "runs", "list"]),
        (["--json"], []),
    ],
)
def test_options_of_every_command_are_accepted_anywhere(given: list[str], expected: list[str]) -> None:
    assert arranged(given) == expected


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("nope",), "no such command 'nope'.", "tradeloop --help"),
        (("runs", "lst"), "no such command 'lst'. Did you mean 'list'?", "tradeloop runs --help"),
        (("runs", "list", "--stat", "x"), "no such option: --stat", "tradeloop runs list --help"),
        (("runs", "show"), "missing argument 'run'.", "tradeloop runs show --help"),
        (("runs", "list", "--color", "blue"), "--color is 'blue'", "tradeloop --help"),
    ],
)
def test_wrong_usage_is_told_with_the_way_to_the_help(
    call: Call, words: tuple[str, ...], message: str, hint: str
) -> None:
    code, out, err = call(*words)
    first, second = err.splitlines()
    assert (code, out, second) == (2, "", f"  next: {hint}")
    assert first.startswith("error: ")
    assert message in first


def test_an_error_with_json_is_one_problem_document_on_stdout(call: Call) -> None:
    code, out, err = call("--json", "runs", "lst")
    assert (code, err) == (2, "")
    assert json.loads(out) == {
        "type": "urn:tradeloop:error:usage-invalid",
        "title": "A word of the command line does not fit.",
        "detail": "no such command 'lst'. Did you mean 'list'?",
        "next": "tradeloop runs --help",
        "exit_code": 2,
    }


def test_no_command_at_all_prints_the_help_and_ends_with_2(call: Call) -> None:
    code, out, err = call()
    assert (code, out, err.startswith("Usage: tradeloop")) == (2, "", True)
    code, out, _ = call("runs", "--json")
    assert (code, json.loads(out)["exit_code"]) == (2, 2)


def test_an_error_of_ours_tells_where_and_what_next_and_its_causes_when_asked(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADELOOP_DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/x")
    code, _, err = call("runs", "list")
    assert (code, err.splitlines()) == (
        7,
        [
            "error: PostgreSQL at 127.0.0.1:1 did not answer: Connection refused",
            "  next: tradeloop doctor postgres",
        ],
    )
    assert "caused by: OperationalError" in call("runs", "list", "-v")[2]
    told = call("runs", "list", "-vv")[2]
    assert "Traceback" in told
    assert "secret" not in told


def test_a_defect_is_named_as_one_and_leaves_a_report(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("postgresql://u:secret@db/x is odd")

    monkeypatch.setattr("tradeloop.store.migrations.status", broken)
    monkeypatch.setenv("TRADELOOP_DATABASE_URL", "postgresql://u@127.0.0.1:1/x")
    (tmp_path / ".tradeloop" / "logs").mkdir(parents=True)
    code, out, err = call("db", "status")
    assert (code, out) == (1, "")
    assert err.startswith(
        "error: This is a defect in tradeloop: RuntimeError: postgresql://u:***@db/x is odd\n  report: "
    )
    assert "Traceback" not in err
    (report,) = (tmp_path / ".tradeloop" / "logs").iterdir()
    text = report.read_text()
    assert "command: tradeloop db status" in text
    assert "Traceback" in text
    assert "secret" not in text
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


def test_ctrl_c_ends_with_130_and_says_so(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tradeloop.store.migrations.status", interrupted)
    monkeypatch.setenv("TRADELOOP_DATABASE_URL", "postgresql://u@127.0.0.1:1/x")
    assert call("db", "status") == (130, "", "interrupted\n")
    assert call("db", "status", "-q") == (130, "", "")


def test_a_profile_goes_before_the_environment_and_the_env_file_is_left_alone(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("TRADELOOP_GROUP=of-the-folder\n")
    (tmp_path / ".env.prod").write_text("TRADELOOP_INSTANCE=prod\nOTHER=1\n")
    monkeypatch.setenv("TRADELOOP_INSTANCE", "shell")
    monkeypatch.setenv("TRADELOOP_PROFILE", "prod")
    load_settings.cache_clear()
    settings = load_settings()
    assert (settings.instance, settings.group) == ("prod", "tradeloop")


def test_a_profile_of_the_configuration_folder_is_found_and_its_mistakes_are_placed(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "config" / "tradeloop"
    folder.mkdir(parents=True)
    (folder / "prod.env").write_text("# mine\nTRADELOOP_CONCURRENCY=many\n")
    code, _, err = call("runs", "list", "--profile", "prod")
    assert (code, err.splitlines()[1]) == (2, f"  read from: {folder}/prod.env line 2")


def test_an_unknown_profile_is_answered_with_the_known_ones(call: Call, tmp_path: Path) -> None:
    (tmp_path / ".env.prod").touch()
    (tmp_path / ".env.test").touch()
    code, out, err = call("runs", "list", "--profile", "prd")
    assert (code, out) == (2, "")
    assert err.startswith("error: there is no profile 'prd'; known: prod, test.\n  next: ")


def test_a_profile_without_a_file_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    monkeypatch.setenv("TRADELOOP_PROFILE", "none")
    load_settings.cache_clear()
    with pytest.raises(SettingInvalid, match="known: none"):
        load_settings()


def test_the_version_is_printed(call: Call) -> None:
    code, out, _ = call("--version")
    assert (code, out.startswith("tradeloop 0.")) == (0, True)


def test_completion_is_offered(call: Call) -> None:
    code, out, _ = call("--help")
    assert (code, "--install-completion" in out) == (0, True)


def test_an_error_behind_which_ctrl_c_stands_is_no_defect() -> None:
    def broken() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as problem:
            raise SystemError("returned a result with an exception set") from problem

    with pytest.raises(SystemError) as found:
        broken()
    assert cli._began_with_ctrl_c(found.value)
    assert not cli._began_with_ctrl_c(ValueError("a defect"))
