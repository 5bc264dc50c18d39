"""The command line: `headwater serve`, `headwater ask`, `headwater tail`, `headwater keys`."""
