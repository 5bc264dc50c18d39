"""Client dialects: how requests are read and logs are written. Pure, no I/O."""
