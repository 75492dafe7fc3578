"""The mark that distinguishes a batch from JSON in the queue."""

BATCH_MARK = b"\xff\xff\xff\xff"
"""The first bytes of every Arrow IPC stream, and so of every batch. No JSON text begins with them."""
