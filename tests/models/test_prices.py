"""What an answer costs: by the operator's own file, else by the list of genai-prices, else it is not known."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import Unsupported
from headwater.events import Finish, Usage
from headwater.models.prices import Prices, Rates, read_prices

CACHED = Usage(1000, 50, cached_tokens=400, cache_write_tokens=100, reasoning_tokens=20)
MINI = "openai:gpt-4o-mini"


async def cost(prices: Prices, model: str, usage: Usage | None = CACHED) -> float | None:
    """What an answer of this model costs."""
    priced = (await prices.priced(Finish("stop", usage), model)).usage
    return priced and priced.cost


async def listed(model: str, usage: Usage = CACHED, base_url: str | None = None) -> float | None:
    """What it costs without a file."""
    return await cost(Prices({}, base_url), model, usage)


async def test_every_token_is_charged_once() -> None:
    """What was cached or written to the cache is part of the input, and reasoning is part of the output."""
    prices = Prices({"m": Rates(input=10, output=100, cached=1, cache_write=20)})

    assert await cost(prices, "m") == pytest.approx((500 * 10 + 400 * 1 + 100 * 20 + 50 * 100) / 1e6)
    assert await cost(Prices({"m": Rates(input=10, output=100)}), "m") == pytest.approx((1000 * 10 + 50 * 100) / 1e6)


async def test_the_first_pattern_that_fits_counts() -> None:
    """A service tier other than the usual one is named behind the model."""
    own = {name: Rates(input=price, output=0) for price, name in enumerate(("a:x@flex", "a:x", "a:*", "*"))}
    flex = Usage(1_000_000, 1, {"input_token_details": {"flex_cache_read": 9, "flex": 999_991}})
    million = Usage(1_000_000, 1)

    found = [await cost(Prices(own), name, million) for name in ("a:x", "a:y", "local")]
    assert (found, await cost(Prices(own), "a:x", flex)) == ([1, 2, 3], 0)


async def test_prices_of_the_operators_own_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the package is not even imported."""
    monkeypatch.delitem(sys.modules, "genai_prices", raising=False)

    assert await cost(Prices({"openai:*": Rates(input=1e6, output=0)}), MINI, Usage(3, 2)) == 3
    assert "genai_prices" not in sys.modules


# Of 1000 tokens of input 400 were cached and 100 written: OpenAI charges nothing for the writing, Anthropic a quarter
# more than for input. Two services sell the same model at different prices.
LISTED = {
    MINI: (600 * 0.15 + 400 * 0.075 + 50 * 0.60) / 1e6,
    "openai-responses:gpt-4o-mini": (600 * 0.15 + 400 * 0.075 + 50 * 0.60) / 1e6,
    "gpt-4o-mini": (600 * 0.15 + 400 * 0.075 + 50 * 0.60) / 1e6,
    "anthropic:claude-sonnet-4-5": (500 * 3 + 400 * 0.3 + 100 * 3.75 + 50 * 15) / 1e6,
}


@pytest.mark.parametrize("model", LISTED)
async def test_the_list_prices_are_those_of_the_provider(model: str) -> None:
    """Each token is charged once, whatever the provider's own way to count."""
    assert await listed(model) == pytest.approx(LISTED[model])


async def test_what_is_kept_for_an_hour_costs_more() -> None:
    """Anthropic charges double for it."""
    long = Usage(1000, 0, {"input_token_details": {"cache_creation": 0, "ephemeral_1h_input_tokens": 100}})

    assert long.cache_write_tokens == 100
    assert await listed("anthropic:claude-sonnet-4-5", long) == pytest.approx((900 * 3 + 100 * 6) / 1e6)


async def test_a_service_tier_has_its_own_price_or_none() -> None:
    """Flex is half of OpenAI's usual price, for the models that have it."""
    flex = Usage(1000, 0, {"input_token_details": {"flex": 1000}})

    assert await listed("openai:gpt-5-mini", flex) == pytest.approx(
        (await listed("openai:gpt-5-mini", Usage(1000)) or 0) / 2
    )
    assert await listed(MINI, flex) is None


UNKNOWN: dict[str, tuple[str, Usage, str | None]] = {
    "a model that is not listed": ("openai:gpt-99", CACHED, None),
    "a provider that is not listed": ("ollama:llama3", CACHED, None),
    "a model of this machine": ("local", CACHED, None),
    "an object of the app's": ("ChatOpenAI", CACHED, None),
    "another server's model of that name": (MINI, CACHED, "http://127.0.0.1:8000/v1"),
    "a part that was not counted": (MINI, Usage(10, 5, {"uncounted": True}), None),
    "an input that was not counted": (MINI, Usage(0, 5), None),
    "counts that contradict each other": (MINI, Usage(1, 5, cached_tokens=9), None),
}


@pytest.mark.parametrize("case", UNKNOWN)
async def test_a_cost_that_is_not_certain_is_not_known(case: str) -> None:
    """It is never guessed."""
    assert await listed(*UNKNOWN[case]) is None


async def test_a_compatible_service_is_known_by_its_address() -> None:
    """DeepSeek's price is for DeepSeek's address."""
    at_deepseek = await listed("openai:deepseek-chat", base_url="https://api.deepseek.com/v1")

    assert at_deepseek
    assert at_deepseek == await listed("deepseek:deepseek-chat")


async def test_no_package_means_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an optional extra; an answer without counts has no price either."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]

    assert await listed(MINI) is None
    assert await cost(Prices({"*": Rates(input=1, output=1)}), MINI, None) is None


@pytest.mark.parametrize(
    ("place", "broken", "words"),
    [
        ("genai_prices.data", None, "genai-prices cannot be imported"),
        ("genai_prices", types.SimpleNamespace(Usage=dict), "the list of prices is of no use"),
    ],
    ids=["it cannot be imported", "it has another interface"],
)
async def test_a_broken_list_of_prices_harms_no_answer(
    place: str, broken: Any, words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is whole, so it ends as ever, and the log says what is wrong."""
    prices = Prices({})
    monkeypatch.setitem(sys.modules, place, broken)
    if broken:
        monkeypatch.setitem(sys.modules, f"{place}.data", broken)
    await prices.prepare()

    assert await cost(prices, MINI) is None
    assert words in caplog.text


FAULTS = {
    "": "No such file",
    "{": "truncated",
    '{"a": 1}': "object",
    '{"a": {"input": 1}}': "output",
    '{"a": {"input": -1, "output": 1}}': ">= 0",
    '{"a": {"input": 1, "output": 1, "ouput": 2}}': "ouput",
}


@pytest.mark.parametrize("written", FAULTS)
def test_a_price_file_with_a_mistake_is_refused(tmp_path: Path, written: str) -> None:
    """In words that name the place, and show the form."""
    file = tmp_path / "prices.json"
    if written:
        file.write_text(written)
    with pytest.raises(Unsupported, match=r'HEADWATER_PRICES: .*It looks like \{"openai') as refused:
        read_prices(file)
    assert FAULTS[written] in str(refused.value)


def test_a_price_file_is_read(tmp_path: Path) -> None:
    """By pattern, in its own order."""
    file = tmp_path / "prices.json"
    file.write_text('{"b*": {"input": 2.5, "cached": 1.25, "output": 10}, "a": {"input": 0, "output": 0}}')

    assert list(read_prices(file).items()) == [("b*", Rates(2.5, 10, 1.25)), ("a", Rates(0, 0))]
