"""OpenAI's chat completions, completions and models: requests, streams and whole answers. Pure, no I/O."""
