"""The next turn's request begins with the bytes of the last one's, so that a provider's prefix cache hits."""

import itertools
import json
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from upstream import Received, Upstream
from ways import EVERY_CHAT, HELLO, Build, answer

from headwater.prompt import (
    Audio,
    File,
    Image,
    Message,
    MessageToolCall,
    Parameters,
    Part,
    ProviderPart,
    Text,
    Tool,
)

texts = st.text(min_size=1, max_size=9)
arguments = st.dictionaries(texts, texts | st.integers(), max_size=2).map(json.dumps)
foreign: dict[str, Any] = {"type": "image_url", "image_url": {"url": "https://x.example/z.png", "crop": True}}
parts: list[Part] = [
    Text("See"),
    Image(data="AA==", media_type="image/png"),
    Image(url="https://x.example/y.png", detail="low"),
    Audio(data="AA==", media_type="audio/wav"),
    File(id="file-1"),
    ProviderPart(foreign),
]


@st.composite
def turns(draw: st.DrawFn) -> list[Message]:
    """A question, perhaps a tool that is called and its result, and an answer."""
    content: Any = draw(texts | st.lists(st.sampled_from(parts), min_size=1, max_size=3))
    asked = Message("user", content, name=draw(st.none() | st.just("ann")))
    calls = [
        MessageToolCall(f"c{number}", "weather", written, {"extra_content": {"signature": "x"}} if number else {})
        for number, written in enumerate(draw(st.lists(arguments, max_size=2)))
    ]
    results = [Message("tool", draw(st.text(max_size=9)), tool_call_id=call.id) for call in calls]
    called = [Message("assistant", draw(st.just("") | texts), tool_calls=calls), *results] if calls else []
    provider: dict[str, Any] = draw(st.sampled_from([{}, {"reasoning_content": "Hm", "prefix": True}]))
    return [asked, *called, Message("assistant", draw(texts), provider=provider)]


system = st.lists(texts.map(lambda text: Message("system", text)), max_size=1)
choices = st.builds(Parameters, temperature=st.none() | st.just(0.5), max_tokens=st.none() | st.just(9))
tools = st.sampled_from([[], [Tool("weather")]])
fields = st.dictionaries(st.sampled_from(["user", "metadata", "prompt_cache_key"]), texts, max_size=2)


def up_to_the_last_message(request: Received) -> bytes:
    """The body's beginning, as far as the messages go."""
    before, key, rest = request.raw.decode().partition('"messages":')
    _, end = json.JSONDecoder().raw_decode(rest)
    assert rest[end - 1] == "]"
    return (before + key + rest[: end - 1]).encode()


@EVERY_CHAT
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(system, st.lists(turns(), min_size=2, max_size=4), st.data())
async def test_the_next_turns_request_begins_with_the_last_ones(
    build: Build, begun: list[Message], conversation: list[list[Message]], data: st.DataObject
) -> None:
    """Whatever changes besides: what may differ between two turns comes after the messages."""
    async with Upstream() as upstream:
        for number in range(1, len(conversation) + 1):
            messages = [*begun, *(message for turn in conversation[:number] for message in turn)]
            asked = msgspec.structs.replace(
                HELLO,
                messages=messages[:-1],  # the last one is the answer to come
                parameters=data.draw(choices),
                tools=data.draw(tools),
                carried=data.draw(fields),
            )
            await answer(build(upstream), asked)
        beginnings = [up_to_the_last_message(request) for request in upstream.requests]
    for earlier, later in itertools.pairwise(beginnings):
        assert later.startswith(earlier)
        assert len(later) > len(earlier)
