"""Chaos tests: break everything that can break under a running answer, and compare every reader with the store."""
