"""LangChain's own cache interface over any store of ours: `set_llm_cache(HeadwaterCache("redis://…"))`."""

import asyncio
import hashlib
import json
import logging
import secrets
import uuid
from collections.abc import Sequence
from typing import Any, cast

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation

from headwater.errors import DocumentTooLarge
from headwater.langchain.background import closes, there, waited
from headwater.langchain.chunks import encode
from headwater.langchain.stores import opened
from headwater.log.store import Store

logger = logging.getLogger(__name__)

_OF_MESSAGE = (
    *("content", "additional_kwargs", "response_metadata", "usage_metadata"),
    *("tool_calls", "invalid_tool_calls", "name"),
)
_OF_ANSWERS = ("id", "response_metadata", "usage_metadata")
_CLEARED_FOR = 30 * 86_400.0


class HeadwaterCache(BaseCache):
    """A cache for `set_llm_cache` and `cache=`, for chat and completion models, for calls that block or do not.

    `store` is as for `Cached`. Answers are kept as plain JSON for `ttl` seconds. LangChain asks its cache for `invoke`
    only, and has the rest of its cache's defects: prefer `Cached`, which streams. Metadata of earlier answers does not
    count, so that conversations hit, and each hit has its own message id. LangChain's key does not have the API key:
    give each `tenant` a cache of its own. An answer of more than 512 KiB is not kept.
    """

    def __init__(self, store: str | Store | None = None, *, ttl: float | None = None, tenant: str = "default") -> None:
        """Names a mistake in the URL now; connects with the first call. Raises `Unsupported`."""
        settings, self._open = opened(store, ttl)
        self._ttl = settings.cache_ttl
        self._opened: Store | None = None
        self._tenant = hashlib.sha256(tenant.encode()).hexdigest()[:16]

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The generations that are kept for a prompt. Raises `StoreError`."""
        return waited(self._lookup(prompt, llm_string))

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The generations that are kept for a prompt. Raises `StoreError`."""
        return await there(self._lookup(prompt, llm_string))

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Keep the generations of a prompt. Raises `StoreError`."""
        waited(self._update(prompt, llm_string, return_val))

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Keep the generations of a prompt. Raises `StoreError`."""
        await there(self._update(prompt, llm_string, return_val))

    def clear(self, **_: Any) -> None:
        """Forget what caches of this tenant have kept in this store, and nothing else. Raises `StoreError`."""
        waited(self._clear())

    async def aclear(self, **_: Any) -> None:
        """Forget what caches of this tenant have kept in this store, and nothing else. Raises `StoreError`."""
        await there(self._clear())

    @property
    def _store(self) -> Store:
        if self._opened is None:
            self._opened = self._open()
            closes(self, self._opened.aclose)
        return self._opened

    def _name(self, *key: str) -> str:
        return f"langchain-{self._tenant}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()}"

    async def _age(self) -> str:
        """What `clear` changes, so that all that was kept before is of another age. It outlives all that."""
        document = await self._store.get(self._name())
        return document.value.decode() if document else ""

    async def _lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        name = self._name(_asked(prompt), llm_string)
        found, age = await asyncio.gather(self._store.get(name), self._age())
        if found is None:
            return None
        kept = json.loads(found.value)
        return [_generation(one) for one in kept["generations"]] if kept["age"] == age else None

    async def _update(self, prompt: str, llm_string: str, generations: Sequence[Generation]) -> None:
        kept = {"age": await self._age(), "generations": [_plain(one) for one in generations]}
        try:
            await self._store.put(self._name(_asked(prompt), llm_string), encode(kept), ttl=self._ttl)
        except (DocumentTooLarge, TypeError, ValueError, OverflowError) as error:  # also what is no plain data
            logger.info("an answer is not kept: %s", error)

    async def _clear(self) -> None:
        await self._store.put(self._name(), secrets.token_hex(8).encode(), ttl=max(2 * self._ttl, _CLEARED_FOR))


def _asked(prompt: str) -> str:
    """A prompt without what its earlier answers say beside their words; a chat's prompt is LangChain's JSON."""
    try:
        messages: Any = json.loads(prompt)
        if not isinstance(messages, list):
            return prompt
        for message in cast("list[Any]", messages):
            for name in _OF_ANSWERS:
                message["kwargs"].pop(name, None)
            if message["id"][-1] in ("AIMessage", "AIMessageChunk"):
                message["kwargs"].pop("additional_kwargs", None)
    except (ValueError, TypeError, KeyError, IndexError):
        return prompt  # the text of a completion
    return json.dumps(messages)


def _plain(generation: Generation) -> dict[str, Any]:
    kept: dict[str, Any] = {"text": generation.text, "info": generation.generation_info}
    if isinstance(generation, ChatGeneration):
        message = generation.message
        kept["message"] = {name: value for name in _OF_MESSAGE if (value := getattr(message, name, None)) is not None}
    return kept


def _generation(kept: dict[str, Any]) -> Generation:
    if "message" not in kept:
        return Generation(text=kept["text"], generation_info=kept["info"])
    message = AIMessage(id=f"lc_run--{uuid.uuid4()}", **kept["message"])
    return ChatGeneration(message=message, generation_info=kept["info"])
