"""Measures what a token costs here and beside us, everything on loopback and in one run: `python -m bench --quick`."""
