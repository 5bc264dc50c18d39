"""Anthropic's Messages API: requests, streams and whole answers. Pure, no I/O."""
