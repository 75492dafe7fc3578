"""Coverage-guided fuzzing of what reads foreign bytes, one check after the other.

An input that fails is written to `tests/data/hell`, where the tests replay it from then on; what merely widened the
coverage stays in `.fuzz` for the next run.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.hell import CHECKS, KEPT

HERE = Path(__file__).parent
CORPUS = HERE.parents[1] / ".fuzz"
_SECONDS, _ROUND_SECONDS = 60, 60
_SLOWEST_SECONDS, _MEGABYTES, _INPUT_BYTES = 30, 2048, 4096
_KILLED_AFTER_SECONDS = 120


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("checks", nargs="*", default=[], metavar="CHECK", help=f"of: {', '.join(CHECKS)}; all if none")
    parser.add_argument("--seconds", type=int, default=_SECONDS, help="for each check (%(default)s)")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.checks if name not in CHECKS]:
        parser.error(f"no such check: {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    return max(fuzz(name, arguments.seconds) for name in arguments.checks or CHECKS)


def fuzz(name: str, seconds: int) -> int:
    """One line on what came out; 1 when an input failed."""
    corpus, kept = CORPUS / name, KEPT / name
    corpus.mkdir(parents=True, exist_ok=True)
    before, end = set(kept.iterdir()), time.monotonic() + seconds
    inputs = edges = code = 0
    told = ""
    while not code and (left := round(end - time.monotonic())) > 0:
        code, told = _round(name, corpus, kept, min(left, _ROUND_SECONDS))
        inputs += _last(r"number_of_executed_units:\s*(\d+)", told)
        edges = max(edges, _last(r"cov: (\d+)", told))
    new = sorted(path.name for path in set(kept.iterdir()) - before)
    print(f"{name}: {inputs} inputs, {edges} edges, failed: {', '.join(new) or 'none'}")
    if code:
        print("\n".join(told.splitlines()[-40:]))
    return int(code != 0)


def _round(name: str, corpus: Path, kept: Path, seconds: int) -> tuple[int, str]:
    """The fuzzer's exit code, and what it tells. It is started anew now and then because its own memory grows."""
    options = {
        "max_total_time": seconds,
        "timeout": _SLOWEST_SECONDS,
        "rss_limit_mb": _MEGABYTES,
        "max_len": _INPUT_BYTES,
        "dict": HERE / "words.txt",
        "artifact_prefix": f"{kept}/",
        "print_final_stats": 1,
    }
    words = [f"-{key}={value}" for key, value in options.items()]
    with tempfile.TemporaryDirectory(prefix="daybook-fuzz-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "fuzz.target", name, folder, *words, corpus, kept],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds + _KILLED_AFTER_SECONDS,
            check=False,
        )
    return done.returncode, done.stdout.decode(errors="replace")


def _last(pattern: str, text: str) -> int:
    """The last number that the pattern finds, else 0."""
    return int(next(reversed(re.findall(pattern, text, re.MULTILINE)), 0))


if __name__ == "__main__":
    sys.exit(main())
