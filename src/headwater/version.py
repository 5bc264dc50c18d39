"""The version of this package, in one place that costs nothing to import."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("headwater")
except PackageNotFoundError:  # run from a checkout that is not installed
    VERSION = "0"
