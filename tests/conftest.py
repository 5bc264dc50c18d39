"""Options and fixtures for the whole suite."""

import os
import signal
from pathlib import Path

import hypothesis
import platformdirs
import pytest

from headwater.models.embedded import weights

# The time of an example depends on the machine, not on the code; each test has its own limit anyhow.
hypothesis.settings.register_profile(
    "headwater", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("headwater")

# A shell ignores SIGINT in what it starts with `&`, and the servers and commands that tests start would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-transcripts` rewrites the expected files of the transcripts; review the difference."""
    parser.addoption("--write-transcripts", action="store_true", help="rewrite the expected side of tests/transcripts")


@pytest.fixture(scope="session")
def weights_folder() -> Path:
    """A data directory that holds the demo model's weights: the user's cache, so that they are fetched once a computer.

    Without a network the tests that need them are skipped by name; in CI that is a failure.
    """
    folder = Path(platformdirs.user_cache_dir("headwater"))
    try:
        weights.fetch(folder, lambda _done, _total: None)
    except weights.WeightsUnavailable as failure:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(failure))
    return folder


@pytest.fixture(scope="session")
def weights_path(weights_folder: Path) -> Path:
    """The demo model's weights."""
    path = weights.locate(weights_folder)
    assert path is not None
    return path
