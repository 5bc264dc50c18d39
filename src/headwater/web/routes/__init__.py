"""The routes: a file for each dialect, one for logs by their id, and one for the server itself."""
