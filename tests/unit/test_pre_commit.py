"""The hooks before a commit run what `make check` runs, and fetch nothing."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_the_hooks_run_the_checks_of_make_from_the_venv() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    checks = re.findall(r"\$\(BIN\)/(\w+(?: [a-z]+)?)", recipe[1])
    hooks = repository["hooks"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in hooks} == {"system"}
    assert [hook["entry"].partition(" --")[0] for hook in hooks] == [f".venv/bin/{check}" for check in checks]
