"""Webhooks: a server of the operator's is told when an answer ends."""
