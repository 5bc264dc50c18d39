"""What the Redis and the Upstash store share: the steps of the contract in Lua, and their typed Python face."""
