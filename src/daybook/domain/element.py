"""What a queue element is told by."""

BATCH_MARK = b"\xff\xff\xff\xff"
"""The first bytes of an Arrow IPC stream, and so of a batch; no JSON text begins with them."""
