"""Going on with an answer that broke off: no word doubled or missing, or an open refusal."""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upstream import Upstream
from ways import HELLO, KEY, ONCE_UPON, texts

from headwater.errors import CannotContinue, ModelError
from headwater.events import Event, Finish, Metadata, ReasoningDelta, TextDelta
from headwater.models.continuation import Continuation
from headwater.models.model import Shown
from headwater.models.openai.connection import Account
from headwater.models.openai.model import OpenAIModel
from headwater.models.prefill import EMBEDDED, SETTINGS, Prefill, at
from headwater.prompt import Message, Parameters, Prompt, ProviderTool, text_of

TOKENS = re.findall(r"\s*fo|\W?\w+|\W+", "The quick brown fox jumps.\n\nThen it sleeps, as foxes do.")
TEXT = "".join(TOKENS)
HALF = TEXT[:34]  # "…Then i"


async def gone_on(model: Any, shown: Shown | str, prompt: Prompt = HELLO) -> list[Event]:
    """The events of the rest; afterwards the model closes its connections."""
    shown = Shown(shown) if isinstance(shown, str) else shown
    try:
        async with aclosing(model.go_on(prompt, shown)) as batches:
            return [event async for batch in batches for event in batch]
    finally:
        await model.aclose()


async def refused(model: Any, shown: Shown | str = HALF, prompt: Prompt = HELLO) -> str:
    """Why the model does not go on; nothing was told before."""
    with pytest.raises(CannotContinue) as refusal:
        await gone_on(model, shown, prompt)
    return str(refusal.value)


def chat(upstream: Upstream, prefill: str = "auto") -> OpenAIModel:
    return OpenAIModel("m", "chat", Account(upstream.url, KEY, prefill=[prefill]))


def completion(upstream: Upstream) -> OpenAIModel:
    return OpenAIModel("m", "completion", Account(upstream.url, KEY))


@pytest.mark.parametrize("way", ["flags", "prefix", "partial", "trailing"])
async def test_every_cut_goes_on_with_the_rest_of_the_answer(way: Any) -> None:
    async with Upstream(tokens=TOKENS, continues=way) as upstream:
        for cut in range(1, len(TEXT) + 1):
            rest = await gone_on(chat(upstream, way), TEXT[:cut])
            assert TEXT[:cut] + "".join(texts(rest)) == TEXT
            assert isinstance(rest[-1], Finish)


async def test_a_completion_goes_on_behind_its_prompt_and_text() -> None:
    async with Upstream(tokens=TOKENS, continues="trailing") as upstream:
        for cut in range(1, len(TEXT) + 1):
            rest = await gone_on(completion(upstream), TEXT[:cut], ONCE_UPON)
            assert TEXT[:cut] + "".join(texts(rest)) == TEXT
        assert upstream.requests[-1].body["prompt"].startswith("Once uponThe quick")


async def test_an_unknown_server_shows_first_that_it_continues_and_is_asked_once() -> None:
    async with Upstream(tokens=TOKENS, continues="flags") as upstream:
        model = chat(upstream)
        for _ in range(2):
            assert HALF + "".join(texts(await gone_on(model, HALF))) == TEXT
        assert [each.body["messages"][0]["content"][:5] for each in upstream.requests] == ["Count", "Hello", "Hello"]
        for each in upstream.requests:
            assert each.body["continue_final_message"] is True
            assert each.body["add_generation_prompt"] is False  # both true are a 400
            assert each.body["messages"][-1]["role"] == "assistant"  # or it would go on as the user
            assert each.body["messages"][-1]["content"].strip() == each.body["messages"][-1]["content"] != ""


async def test_a_server_that_ignores_the_flags_is_asked_once_and_then_known() -> None:
    async with Upstream(tokens=TOKENS) as upstream:
        model = chat(upstream)
        assert model.continues(HELLO)
        assert "does not continue" in await refused(model)
        assert not model.continues(HELLO)
        await refused(model)
        assert upstream.calls == 1


@pytest.mark.parametrize("setting", [each for each in SETTINGS if each not in ("auto", "off")])
async def test_a_server_that_begins_anew_never_doubles_a_word(setting: str) -> None:
    """Also one that an operator calls able to continue. An answer of which one word was shown may begin anew."""
    async with Upstream(tokens=TOKENS) as upstream:
        for cut in range(4, len(TEXT) + 1):
            try:
                rest = await gone_on(chat(upstream, setting), TEXT[:cut])
            except CannotContinue:
                continue
            assert TEXT[:cut] + "".join(texts(rest)) == TEXT


async def test_a_provider_that_sends_the_beginning_too_has_it_taken_away() -> None:
    """Mistral does, with `prefix`; from others it is an answer begun anew."""
    async with Upstream(tokens=TOKENS, continues="prefix", trap="echoes") as upstream:
        for cut in range(1, len(TEXT) + 1):
            assert TEXT[:cut] + "".join(texts(await gone_on(chat(upstream, "prefix"), TEXT[:cut]))) == TEXT
        upstream.continues = "flags"
        assert "other words" in await refused(chat(upstream, "flags"), TEXT[:40] + "le")


async def test_a_template_that_trims_what_was_begun_does_no_harm() -> None:
    async with Upstream(tokens=TOKENS, continues="flags", trap="trims") as upstream:
        for cut in range(1, len(TEXT) + 1):
            assert TEXT[:cut] + "".join(texts(await gone_on(chat(upstream, "flags"), TEXT[:cut]))) == TEXT


async def test_a_model_that_says_it_in_other_words_is_refused_after_three_tries() -> None:
    async with Upstream(tokens=TOKENS, continues="flags", trap="rewords") as upstream:
        assert "other words" in await refused(chat(upstream, "flags"))
        assert upstream.calls == 3


async def test_a_provider_that_refuses_is_not_asked_again_for_an_hour() -> None:
    """It says so with a 400, which is not told to the reader in place of the first error."""
    async with Upstream(status=400, error={"message": "does not support assistant message prefill"}) as upstream:
        model = chat(upstream, "trailing")
        assert "assistant message prefill" in await refused(model)
        assert not model.continues(HELLO)
        assert upstream.calls == 1


@pytest.mark.parametrize("setting", ["auto", "flags"])
async def test_a_provider_that_fails_meanwhile_may_be_asked_again(setting: str) -> None:
    async with Upstream(tokens=TOKENS, status=(503, 200), continues="flags") as upstream:
        model = chat(upstream, setting)
        with pytest.raises(ModelError) as failure:
            await gone_on(model, HALF)
        assert failure.value.retryable
        assert HALF + "".join(texts(await gone_on(model, HALF))) == TEXT


async def test_a_second_break_is_told_as_any_other() -> None:
    async with Upstream(tokens=TOKENS, continues="flags", cut_after=4) as upstream:
        told: list[Event] = []
        with pytest.raises(ModelError, match="broke off"):
            async with aclosing(chat(upstream, "flags").go_on(HELLO, Shown(HALF))) as batches:
                async for batch in batches:
                    told += batch
        assert TEXT.startswith(HALF + "".join(texts(told)))
        upstream.cut_after = 0
        with pytest.raises(ModelError) as failure:
            await gone_on(chat(upstream, "flags"), HALF)
        assert failure.value.retryable


async def test_the_rest_gets_what_is_left_of_the_limit() -> None:
    limited = Prompt(model="m", messages=HELLO.messages, parameters=Parameters(max_tokens=12))
    async with Upstream(tokens=TOKENS, continues="flags") as upstream:
        await gone_on(chat(upstream, "flags"), Shown(HALF, pieces=9), limited)
        assert 3 <= upstream.requests[0].body["max_tokens"] <= 4  # with the piece that comes again
        assert await gone_on(chat(upstream, "flags"), Shown(TEXT[:40], pieces=12), limited) == [Finish("length")]
        assert upstream.calls == 1


async def test_reasoning_that_was_shown_goes_with_the_text_or_nothing_does() -> None:
    shown = Shown(HALF, reasoning="An animal.")
    async with Upstream(tokens=TOKENS, continues="flags", reasoning=["Once", " more"]) as upstream:
        rest = await gone_on(chat(upstream, "flags"), shown)
        assert upstream.requests[0].body["messages"][-1]["reasoning_content"] == "An animal."
        assert not [event for event in rest if isinstance(event, ReasoningDelta)]
        await refused(chat(upstream, "partial"), shown)
        await refused(chat(upstream, "flags"), Shown("", reasoning="An animal."))
        assert upstream.calls == 1


TOOL = ProviderTool({"type": "function", "function": {"name": "f"}})
REFUSED: list[Prompt] = [
    Prompt(model="m", messages=HELLO.messages, tools=[TOOL]),
    *(
        Prompt(model="m", messages=HELLO.messages, extra=extra)
        for extra in ({"response_format": {"type": "json_object"}}, {"logprobs": True})
    ),
    Prompt(model="m", messages=[*HELLO.messages, Message("assistant", "Well,")]),
]


@pytest.mark.parametrize("prompt", REFUSED)
def test_tools_forms_and_answers_that_a_client_began_are_not_gone_on_with(prompt: Prompt) -> None:
    model = OpenAIModel("m", "chat", Account("http://localhost:1/v1", KEY))
    assert model.continues(HELLO)
    assert not model.continues(prompt)
    assert not OpenAIModel("m", "chat", defaults={"response_format": {"type": "json_object"}}).continues(HELLO)


@pytest.mark.parametrize(
    ("address", "way"),
    [
        ("https://api.openai.com/v1", None),
        ("https://eu.api.openai.com/v1", None),
        ("https://x.openai.azure.com/openai/v1", None),
        ("https://openrouter.ai/api/v1", None),
        ("https://generativelanguage.googleapis.com/v1beta/openai", None),
        ("https://api.mistral.ai/v1", "prefix"),
        ("https://api.deepseek.com/v1", None),
        ("https://api.deepseek.com/beta", "prefix"),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "partial"),
        ("https://api.moonshot.ai/v1", "partial"),
        ("https://api.groq.com/openai/v1", "trailing"),
        ("HTTPS://user@API.Mistral.ai:443/v1", "prefix"),
        ("https://api.mistral.ai.example.com/v1", "flags"),
        ("http://localhost:8080/v1", "flags"),
        ("http://[::1", "flags"),
    ],
)
def test_providers_are_known_by_their_address_and_an_operator_overrules_it(address: str, way: str | None) -> None:
    found = at(address)
    assert (found and found.way) == way
    assert at(address, "off") is None
    overruled = at(address, "partial")
    assert overruled is not None
    assert overruled.way == "partial"


def test_one_model_may_be_said_to_go_on_in_another_way_than_the_rest() -> None:
    account = Account("http://localhost:1/v1", KEY, prefill=["off", "openai:a:b=flags"])
    assert OpenAIModel("a:b", "chat", account).continues(HELLO)
    assert not OpenAIModel("c", "chat", account).continues(HELLO)
    assert not OpenAIModel("c", "completion", account).continues(ONCE_UPON)


WORDS = ["The ", "cat", " sat", "\n\n", ". ", "“so”", "日本語", "，", "👩‍👧", "e\u0301", "नमस्ते", "  ", "x" * 30]
TEXTS = st.one_of(
    st.text(min_size=2, max_size=120), st.lists(st.sampled_from(WORDS), min_size=2, max_size=40).map("".join)
)
Answers = Callable[[str], str]


def playing(answer: Answers) -> Any:
    """A model that answers what `answer` says of the text that was begun, a few characters at a time."""

    async def stream(prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        last = prompt.messages[-1]
        text = answer(text_of(last) if last.role == "assistant" else "")
        yield [Metadata({"some": "facts"})]
        for begin in range(0, len(text), 3):
            yield [TextDelta(text[begin : begin + 3])]
        yield [Finish("stop")]

    return stream


async def rest_of(answer: Answers, shown: str, prefill: Prefill) -> str | None:
    """What follows; None for an open refusal."""
    try:
        async with aclosing(Continuation(playing(answer)).go_on(prefill, HELLO, Shown(shown))) as batches:
            return "".join(texts([event async for batch in batches for event in batch]))
    except CannotContinue:
        return None


@given(TEXTS, st.data())
async def test_any_text_goes_on_at_any_cut_with_an_upstream_that_continues_anywhere(text: str, data: Any) -> None:
    """A long text that repeats its own beginning may be refused, unless the upstream is known to continue."""
    shown = text[: data.draw(st.integers(1, len(text)))]
    rest = await rest_of(lambda begun: text[len(begun) :], shown, Prefill("flags"))
    assert rest is None or shown + rest == text
    assert rest is not None or len(shown) > 64
    assert await rest_of(lambda begun: text[len(begun) :], shown, EMBEDDED) == text[len(shown) :]
    echoed = await rest_of(lambda begun: text, shown, Prefill("prefix", echoes=True))
    assert echoed is None or shown + echoed == text


@given(TEXTS, st.sampled_from(["", " ", "\n", "Sure: "]), st.data())
async def test_an_upstream_that_begins_anew_is_refused_or_exact(text: str, before: str, data: Any) -> None:
    """Exact is an answer that is asked for once more as a whole, which only a short one is."""
    shown = text[: data.draw(st.integers(1, len(text)))]
    rest = await rest_of(lambda begun: before + text, shown, Prefill("flags"))
    assert rest is None or shown + rest in (text, before + text)
