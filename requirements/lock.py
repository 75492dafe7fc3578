"""Writes the locks: hashes and markers for every platform, no address of an index."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
OPTIONS = "--quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header"
ADDRESSES = "--no-emit-index-url --no-emit-find-links"
COMPILE = [sys.executable, "-m", "uv", "pip", "compile", *OPTIONS.split(), *ADDRESSES.split()]


def compile_lock(name: str, *arguments: str) -> None:
    subprocess.run([*COMPILE, *arguments, "--output-file", str(HERE / name)], check=True, cwd=HERE.parent)


compile_lock("run.txt", "pyproject.toml", str(HERE / "build.in"))
compile_lock("bench.txt", "--group", "bench", "--constraint", str(HERE / "run.txt"))
compile_lock("dev.txt", "pyproject.toml", "--group", "dev", "--constraint", str(HERE / "run.txt"))
compile_lock("fuzz.txt", "--group", "fuzz", "--constraint", str(HERE / "run.txt"))
