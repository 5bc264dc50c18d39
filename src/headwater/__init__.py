"""Headwater streams LLM answers over Server-Sent Events, caches them, and never loses one.

`headwater.router(model=…)` returns the routes for your own FastAPI app. `Principal` is what its `principal` callback
returns, `Answer` is what its `on_finish` hook receives, and `Observer` is the base class of its `observers`.

Five import paths are public: `headwater`, `headwater.client`, `headwater.langchain`, `headwater.extending` and
`headwater.testing`. Names in their `__all__` change only with a note in CHANGELOG.md. Every other module is private by
convention and may move in any release. docs/extending.md lists the public names.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headwater.answer import Answer as Answer
    from headwater.observe import Observer as Observer
    from headwater.principal import Principal as Principal
    from headwater.wiring.router import router as router

__all__ = ["Answer", "Observer", "Principal", "router"]

_MODULES = {
    "Answer": "headwater.answer",
    "Observer": "headwater.observe",
    "Principal": "headwater.principal",
    "router": "headwater.wiring.router",
}


def __getattr__(name: str) -> Any:
    # On first use, because everything below imports this package, and `import headwater` should cost nothing.
    if name not in _MODULES:
        raise AttributeError(f"module 'headwater' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
