"""The Redis store: one server, or a cluster, of Redis or Valkey."""
