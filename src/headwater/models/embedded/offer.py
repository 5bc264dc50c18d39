"""The embedded model as it is offered: whether it can run here, what people must know of it, and how to build it."""

import asyncio
from pathlib import Path

from headwater.models.embedded import weights
from headwater.models.langchain.model import LangChainModel, Opened
from headwater.models.model import Model

NOTICE = "SmolLM2-135M runs inside this server. It writes fluent English, not facts."
UPSTREAM = f"llamacpp:{weights.SHA256}"


async def build(data_dir: Path) -> Model:
    """The embedded model, its weights fetched first if they are not here. Raises `WeightsUnavailable`."""
    path = await asyncio.to_thread(weights.fetch, data_dir, lambda _done, _total: None)

    def opener() -> Opened:
        from headwater.models.embedded.llamacpp import LlamaCppChat

        model = LlamaCppChat(path=path)
        model.load()
        return Opened(model, lambda: asyncio.to_thread(model.close))

    return LangChainModel(opener, "local")
