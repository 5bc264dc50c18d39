"""Telemetry: what happens to answers, as metrics and traces. Observers, below everything that serves."""
