"""Other ways to the same totals, each a program of its own: `python -m benchmarks.peers.NAME FILE FOLDER`."""
