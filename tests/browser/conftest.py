"""The fixtures of the browser tests."""

from chromium import browser, page
from firefox import firefox, firefox_address

__all__ = ["browser", "firefox", "firefox_address", "page"]
