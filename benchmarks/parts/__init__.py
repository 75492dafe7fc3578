"""What is measured, one part a file; each has `run(plan, results)`."""
