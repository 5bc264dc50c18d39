"""The SQLite store: one file, shared by all the server's processes on a machine."""
