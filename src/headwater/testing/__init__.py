"""What you need to test a store of your own, and apps that have Headwater in them.

`StoreContract`, with `Harness` and `Clock`, runs the store contract over your store. `Scripted` is a model that plays
given events, so that a test needs no provider.
"""

import pkgutil
import sys
from typing import TYPE_CHECKING, Any

from headwater.models.scripted import SILENCE, Scripted

if TYPE_CHECKING:
    from headwater.testing.contract import Clock as Clock
    from headwater.testing.contract import Harness as Harness
    from headwater.testing.contract import StoreContract as StoreContract

__all__ = ["SILENCE", "Clock", "Harness", "Scripted", "StoreContract"]


def __getattr__(name: str) -> Any:
    # On first use, because the contract imports pytest and Hypothesis, and a test that wants a model needs neither.
    if name not in __all__:
        raise AttributeError(f"module 'headwater.testing' has no attribute {name!r}")
    import pytest

    # Before the import, so that a clause that fails shows the values it compared.
    clauses = (f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
    pytest.register_assert_rewrite(*(clause for clause in clauses if clause not in sys.modules))
    from headwater.testing import contract

    return getattr(contract, name)
