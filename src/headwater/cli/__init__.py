"""The command line: `headwater serve`, `headwater ask`."""
