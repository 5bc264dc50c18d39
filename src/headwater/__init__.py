"""Headwater streams LLM answers over Server-Sent Events, caches them, and never loses one.

`headwater.router(model=…)` gives the routes for your own FastAPI app.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headwater.principal import Principal as Principal
    from headwater.wiring.router import router as router

__all__ = ["Principal", "router"]


def __getattr__(name: str) -> Any:
    # On first use, because everything below imports this package, and `import headwater` should cost nothing.
    if name == "router":
        from headwater.wiring.router import router

        return router
    if name == "Principal":
        from headwater.principal import Principal

        return Principal
    raise AttributeError(f"module 'headwater' has no attribute {name!r}")
