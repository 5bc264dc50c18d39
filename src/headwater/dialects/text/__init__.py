"""Bare text: the tokens and nothing else."""
