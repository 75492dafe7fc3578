"""Other systems that compute the same totals, each a program: `python -m benchmarks.peers.NAME FILE FOLDER`."""
