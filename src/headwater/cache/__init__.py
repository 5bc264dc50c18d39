"""What may answer a new request: the key of a prompt, and the words of HTTP caching."""
