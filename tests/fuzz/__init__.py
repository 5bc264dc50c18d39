"""Fuzz tests: bytes that nobody would send on purpose, at everything that reads bytes from strangers."""
