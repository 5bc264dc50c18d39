"""Options and fixtures for the whole suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-transcripts` writes down what the wires say now; look at the difference before you keep it."""
    parser.addoption("--write-transcripts", action="store_true", help="rewrite the expected side of tests/transcripts")
