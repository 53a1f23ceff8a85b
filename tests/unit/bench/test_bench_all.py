"""`tradeloop bench all`: every benchmark there is, whatever became of those before."""

from __future__ import annotations

import pytest
import typer

from tradeloop.cli import bench


def commands() -> set[str]:
    app = typer.Typer()
    bench.register(app)
    (group,) = app.registered_groups
    assert group.typer_instance is not None
    return {str(one.name) for one in group.typer_instance.registered_commands}


def test_every_benchmark_runs_and_the_worst_end_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: dict[str, dict[str, object]] = {}

    def stand_in(name: str) -> None:
        def measured(**options: object) -> None:
            ran[name] = options
            if name in ("decisions", "audit"):
                raise typer.Exit({"decisions": 1, "audit": 6}[name])

        monkeypatch.setattr(bench, name, measured)

    named = commands() - {"all", "chaos"}
    for name in named:
        stand_in(name)
    with pytest.raises(typer.Exit) as ended:
        bench.everything(quick=True, as_json=True)
    assert set(ran) == named
    assert ended.value.exit_code == 6
    assert all(options["as_json"] for options in ran.values())
    assert ran["reconciliation"]["trades"] == 20_000
    assert ran["desks"]["cases"] == 100


def test_all_well_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in commands() - {"all", "chaos"}:
        monkeypatch.setattr(bench, name, lambda **_: None)
    bench.everything()
