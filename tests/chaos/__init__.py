"""Breaks everything that can break under a running answer, and holds what every reader saw against what was kept."""
