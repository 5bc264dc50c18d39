"""Prices: what an answer has cost in US dollars, by the operator's own file, or else by the package genai-prices.

A cost that is not certain stays unknown. It is so for a model without a price, for an answer whose provider has not
counted all its tokens, and for a compatible server whose address nobody lists.
"""

import asyncio
import importlib
import importlib.util
import logging
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec.structs import replace

from headwater.errors import Unsupported
from headwater.events import Finish, Usage

logger = logging.getLogger(__name__)

Dollars = Annotated[float, msgspec.Meta(ge=0)]
"""US dollars per million tokens."""
TIERS = ("flex", "priority")
"""Service tiers with prices of their own, as the details of a usage name them."""
_PROVIDERS = {
    **dict.fromkeys(("openai_responses", "openai_completion"), "openai"),
    **dict.fromkeys(("azure_openai", "azure_ai"), "azure"),
    **dict.fromkeys(("anthropic_bedrock", "bedrock_mantle_anthropic"), "aws"),
}
"""Providers in LangChain's names that genai-prices would not find, or would take for another."""


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The prices of a model. Input that is read from the provider's cache, or written to it, may have its own."""

    input: Dollars
    output: Dollars
    cached: Dollars | None = None
    cache_write: Dollars | None = None

    def cost(self, usage: Usage) -> float:
        """What so many tokens cost."""
        cached, written = usage.cached_tokens, usage.cache_write_tokens
        dollars = (
            (usage.input_tokens - cached - written) * self.input
            + cached * (self.input if self.cached is None else self.cached)
            + written * (self.input if self.cache_write is None else self.cache_write)
            + usage.output_tokens * self.output
        )
        return round(dollars / 1e6, 12)


def read_prices(file: Path) -> Mapping[str, Rates]:
    """The operator's prices by pattern of model names. Raises `Unsupported` for a file that cannot be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Rates])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        form = '{"openai:gpt-4o*": {"input": 2.5, "cached": 1.25, "output": 10}}'
        raise Unsupported(f"HEADWATER_PRICES: {file} cannot be read: {error}. It looks like {form}") from error


class Prices:
    """Prices answers. `base_url` is that of OpenAI's models, if it is not OpenAI's own."""

    def __init__(self, own: Mapping[str, Rates], base_url: str | None = None) -> None:
        self._own = own
        self._base_url = base_url
        self._genai: Any = None
        self._is_listed = importlib.util.find_spec("genai_prices") is not None

    async def prepare(self) -> None:
        """Import genai-prices if it is installed: that takes a third of a second, so beside the event loop."""
        if self._is_listed and self._genai is None:
            try:
                self._genai = await asyncio.to_thread(_genai_prices)
            except ImportError:  # of what it needs itself
                self._is_listed = False
                logger.exception("genai-prices cannot be imported, so the cost of answers is not known")

    async def priced(self, finish: Finish, model: str) -> Finish:
        """The ending with the cost of its answer, which this model gave; as it is where that is not known."""
        usage = finish.usage
        # An answer to no input at all is one that the provider has not counted.
        if usage is None or not usage.input_tokens or "uncounted" in usage.details:
            return finish
        tier = tier_of(usage)
        name = f"{model}@{tier}" if tier else model
        rates = next((rates for pattern, rates in self._own.items() if fnmatchcase(name, pattern)), None)
        if rates is None and usage.cost is not None:
            return finish  # the model has said it itself
        try:
            cost = await self._listed(model, usage, tier) if rates is None else rates.cost(usage)
        except Exception:  # whatever is wrong with a list of prices, the answer is whole
            logger.exception("the list of prices is of no use for %s", model)
            return finish
        return finish if cost is None else replace(finish, usage=replace(usage, cost=cost))

    async def _listed(self, model: str, usage: Usage, tier: str) -> float | None:
        """The cost by genai-prices; None where it has no price, or is not installed."""
        await self.prepare()
        if self._genai is None:
            return None
        provider, _, name = model.partition(":") if ":" in model else ("", "", model)
        provider = provider.replace("-", "_").lower()
        provider = _PROVIDERS.get(provider, provider)
        if provider in ("", "openai") and self._base_url:
            where = {"provider_api_url": self._base_url}
        else:
            where = {"provider_id": provider} if provider else {}
        details: Any = usage.details.get("input_token_details") or {}
        counts = self._genai.Usage(
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cache_write_1h_tokens=details.get("ephemeral_1h_input_tokens", 0),
            output_tokens=usage.output_tokens,
        )
        try:
            found = self._genai.calc_price(
                counts, name, **where, price_context={"service_tier": tier} if tier else None
            )
        except (LookupError, ValueError):
            return None
        variants: Any = found.model.price_variants or ()
        if tier and not any(variant.when.get("service_tier") == tier for variant in variants):
            return None
        return float(found.total_price)


def _genai_prices() -> Any:
    importlib.import_module("genai_prices.data")  # else the first price would import it, on the event loop
    return importlib.import_module("genai_prices")


def tier_of(usage: Usage) -> str:
    """The service tier that an answer was billed under; empty for the usual one."""
    details: Any = usage.details.get("input_token_details") or {}
    return next((tier for tier in TIERS if tier in details), "")
