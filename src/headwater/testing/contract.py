"""The contract of `headwater.log.store`, as tests that run over any store.

To test your own store, subclass `StoreContract` in a test module and define the fixture `harness`, which yields a
`Harness` and closes its stores; docs/extending.md has the code.

The tests are async functions for pytest-asyncio in auto mode, and need Hypothesis. Some wait until a lease of 0.4 s has
lapsed, the others do not wait: the suite takes a few seconds.
"""

import pytest

from headwater.log.store import Limits
from headwater.testing.contract_appends import Appends
from headwater.testing.contract_counters import Counters
from headwater.testing.contract_documents import Documents
from headwater.testing.contract_expiry import Expiry
from headwater.testing.contract_harness import LIMITS, QUICK, Clock, Harness
from headwater.testing.contract_leases import Leases
from headwater.testing.contract_names import Names
from headwater.testing.contract_reads import Reads
from headwater.testing.contract_stops import Stops
from headwater.testing.contract_takeover import Takeovers

__all__ = ["LIMITS", "QUICK", "Clock", "Harness", "StoreContract"]


class StoreContract(Appends, Reads, Leases, Names, Documents, Expiry, Stops, Takeovers, Counters):
    """Every clause of the store contract; a subclass defines the fixture `harness`."""

    @pytest.fixture
    def limits(self, request: pytest.FixtureRequest) -> Limits:
        """The limits of the store: with a short lease in the tests that wait until one has lapsed."""
        return getattr(request, "param", LIMITS)
