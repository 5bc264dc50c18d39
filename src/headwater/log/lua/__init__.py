"""The steps of the store contract as Lua scripts, with typed Python callers; shared by the Redis and Upstash stores."""
