"""Soak tests: a server under mixed load with faults for a long time, which must neither lose a word nor grow."""
