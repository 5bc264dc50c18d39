"""Benchmarks of Headwater and other servers, on loopback and in one run: `python -m bench --quick`."""
