"""What the tests of the models share: the real weights, fetched once per computer."""

import os
from pathlib import Path

import platformdirs
import pytest

from headwater.models import weights


@pytest.fixture(scope="session")
def weights_path() -> Path:
    """The demo model's weights, in the user's cache. Without a network the tests that need them are skipped by name;
    in CI that is a failure."""
    try:
        return weights.fetch(Path(platformdirs.user_cache_dir("headwater")), lambda done, total: None)
    except weights.WeightsUnavailable as failure:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(failure))
