"""Runs one check under the fuzzer: `python -m fuzz.target CHECK FOLDER [libFuzzer's options and folders]`."""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["daybook"]):
    from support.hell import CHECKS


def main() -> None:
    check = CHECKS[sys.argv.pop(1)]
    folder = Path(sys.argv.pop(1))
    atheris.Setup(sys.argv, lambda data: check(data, folder) and None)
    atheris.Fuzz()


main()
