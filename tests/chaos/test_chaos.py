"""The chaos benchmark itself, small: what it reports is what happened."""

from __future__ import annotations

import json

import pytest

from tradeloop.cli import main


@pytest.mark.timeout(900)
def test_nothing_is_lost_or_doubled_while_worker_relay_broker_and_database_are_killed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "tradeloop bench chaos --seed 1 --kills 4 --events 60 --rate 5 --lease 3 --no-airflow"
    monkeypatch.setattr("sys.argv", words.split())
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    said = json.loads(printed.out.strip().splitlines()[-1])
    (account,) = [row for name, row in said["figures"]["engine, schedule 1"].items() if name.endswith("account")]
    assert end.value.code == 0, printed.err
    assert account["events"] >= 60
    assert account["decisions"] == account["effects"] == account["events"]
    assert {account[name] for name in ("lost", "duplicate_effects", "decisions_doubled", "orders_broken")} == {0}
    assert "lost 0" in printed.out


def test_a_seed_that_is_no_number_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tradeloop", "bench", "chaos", "--seed", "one"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "--seed is 'one'; numbers, separated by commas, are expected." in capsys.readouterr().err
