"""Runs `daybook import` of files in this process: `timed_import FILE...`. Its last line holds the seconds of the work.

The clock starts when interpreter and packages are loaded, as with the peers. It stops when all is committed and dumped
and the embedded server has ended.
"""

import sys
import time
from pathlib import Path

import uvloop

from daybook import memory, settings
from daybook.cli.importing import import_all

if __name__ == "__main__":
    memory.tune()
    begun = time.perf_counter()
    done = uvloop.run(import_all(settings.load(replay_speed=0), [Path(name) for name in sys.argv[1:]], complete=False))
    seconds = time.perf_counter() - begun
    if not done:
        sys.exit("the import failed")
    print(seconds)
