"""The fixtures of the browser tests."""

from chromium import browser, page

__all__ = ["browser", "page"]
