"""The parts of the benchmark, one in each file, with a `run(plan, results)`."""
