"""The HTTP surface: routes, a log as an ASGI response, and how failures are told."""
