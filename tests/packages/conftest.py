"""Fixtures of the packages' tests."""

from chromium import browser, page
from installing import installed

__all__ = ["browser", "installed", "page"]
