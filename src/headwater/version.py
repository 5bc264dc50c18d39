"""The version of this package, in one place that costs nothing to import."""

from importlib.metadata import PackageNotFoundError, version


def _installed() -> str:
    try:
        return version("headwater")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"


VERSION = _installed()
