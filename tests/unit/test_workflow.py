"""The workflow of the first public run: it parses, and runs what the Makefile has."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    loaded = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def job(workflow: dict[Any, Any]) -> dict[str, Any]:
    found = workflow["jobs"]["test"]
    assert isinstance(found, dict)
    return found


def test_the_workflow_runs_the_make_targets(job: dict[str, Any]) -> None:
    steps = [step["run"] for step in job["steps"] if "run" in step]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert steps[-2:] == ["make check", "make test"]
    assert {"check", "test"} <= set(targets)


def test_the_workflow_covers_every_python_on_real_servers(job: dict[str, Any]) -> None:
    runs = job["strategy"]["matrix"]["include"]
    assert [run["python"] for run in runs] == ["3.11", "3.12", "3.13"]
    assert {run["redis"] for run in runs} == {"7", "8"}
    assert {run["mongodb"] for run in runs} == {"7", "8"}
    ports = {name: service["ports"] for name, service in job["services"].items()}
    assert ports == {"redis": ["6379:6379"], "mongodb": ["27017:27017"]}
    assert job["env"] == {
        "DAYBOOK_TEST_REDIS_URL": "redis://127.0.0.1:6379/9",
        "DAYBOOK_TEST_MONGODB_URI": "mongodb://127.0.0.1:27017/",
    }


def test_the_workflow_may_only_read_and_ends(workflow: dict[Any, Any], job: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    assert job["timeout-minutes"] <= 60
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert used == ["actions/checkout@v4", "actions/setup-python@v5"]
