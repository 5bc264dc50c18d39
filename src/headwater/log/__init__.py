"""Logs, the stores that keep them, their one writer and their many readers. Read `store.py`, then `memory.py`."""
