"""The embedded model as it is offered: what people must know of it, and how it is built."""

import asyncio
from pathlib import Path

from headwater.models.embedded import weights
from headwater.models.embedded.demo import DEMO
from headwater.models.langchain.model import LangChainModel, Opened
from headwater.models.model import Model

NOTICE = f"{DEMO.name} runs inside this server. {DEMO.caveat}"
UPSTREAM = f"llamacpp:{DEMO.sha256}"


async def build(data_dir: Path, prefill: str = "auto") -> Model:
    """The embedded model; fetches its weights first if they are not here. Raises `WeightsUnavailable`.

    `prefill` is what the operator says of it, as in `LangChainModel`.
    """
    path = await asyncio.to_thread(weights.fetch, data_dir, lambda _done, _total: None)

    def opener() -> Opened:
        from headwater.models.embedded.llamacpp import LlamaCppChat

        model = LlamaCppChat(path=path)
        model.load()
        return Opened(model, lambda: asyncio.to_thread(model.close))

    return LangChainModel(opener, "local", prefill=prefill)
