"""The Upstash store: the same keys and steps as Redis, over a REST API that bills by the command."""
