"""Content at an address, which LangChain's classes for Google's models would fetch from within this server."""

import json
from collections.abc import Mapping
from typing import Any

from headwater.errors import ModelError
from headwater.prompt import Prompt, ProviderPart


def check(prompt: Prompt, model: object) -> None:
    """Raise `ModelError` for content at an address if this is a model that would fetch it."""
    if any(base.__module__.startswith("langchain_google") for base in type(model).__mro__) and _are_in(prompt):
        raise _refusal()


def guards(prompt: Prompt) -> list[Any]:
    """The callbacks that do the same for the models within a chain or a graph, which are known when they are run."""
    if not _are_in(prompt):
        return []
    from langchain_core.callbacks import BaseCallbackHandler

    class Guard(BaseCallbackHandler):
        raise_error = True  # or LangChain would log the refusal, and go on

        def on_chat_model_start(self, *_: Any, metadata: Mapping[str, Any] | None = None, **__: Any) -> None:
            if str((metadata or {}).get("ls_provider")).startswith("google"):
                raise _refusal()

    return [Guard()]


def _are_in(prompt: Prompt) -> bool:
    for part in (part for message in prompt.messages if isinstance(message.content, list) for part in message.content):
        own = part.data if isinstance(part, ProviderPart) and part.data.get("type") != "text" else {}
        if getattr(part, "url", None) is not None or "://" in json.dumps(own):
            return True
    return False


def _refusal() -> ModelError:
    why = "this model is not given images or files at an address; send the data themselves, in base64"
    return ModelError(why, code="invalid_prompt", status=422)
