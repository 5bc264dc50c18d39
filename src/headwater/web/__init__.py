"""The HTTP surface: routes, a log as an ASGI response, and failures as responses."""
