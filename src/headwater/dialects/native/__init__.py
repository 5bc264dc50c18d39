"""Headwater's own dialect: its events as they are, one SSE frame an entry."""
