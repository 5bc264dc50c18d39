import asyncio
from collections.abc import AsyncGenerator, Sequence
from itertools import pairwise

import pytest

from headwater.errors import CannotContinue, ModelError
from headwater.events import Event, Finish, TextDelta
from headwater.models.model import Continues, Model, Shown
from headwater.models.scripted import SILENCE, Clock, Echo, Scripted
from headwater.prompt import Message, Prompt

PROMPT = Prompt(model="scripted", messages=[Message("user", "Say it again,\nplease")])


async def collect(stream: AsyncGenerator[Sequence[Event], None]) -> list[Event]:
    return [event async for batch in stream for event in batch]


async def test_a_script_is_played_step_by_step_in_the_batches_it_was_written_in():
    model: Model = Scripted([TextDelta("a"), [TextDelta("b"), TextDelta("c")], 0.0, Finish("stop")])
    batches = [batch async for batch in model.stream(PROMPT)]
    assert batches == [[TextDelta("a")], [TextDelta("b"), TextDelta("c")], [Finish("stop")]]


async def test_a_script_remembers_what_it_was_asked_and_plays_again():
    model = Scripted([Finish("stop")])
    assert await collect(model.stream(PROMPT)) == await collect(model.stream(PROMPT))
    assert model.prompts == [PROMPT, PROMPT]


async def test_a_gate_holds_the_script_until_it_is_opened():
    gate = asyncio.Event()
    stream = Scripted([TextDelta("a"), gate, TextDelta("b")]).stream(PROMPT)
    assert await anext(stream) == [TextDelta("a")]
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.set()
    assert await waiting == [TextDelta("b")]
    await stream.aclose()


async def test_an_error_in_the_script_is_raised_where_it_stands():
    stream = Scripted([TextDelta("a"), ModelError("down", status=503)]).stream(PROMPT)
    assert await anext(stream) == [TextDelta("a")]
    with pytest.raises(ModelError, match="down"):
        await anext(stream)


async def test_a_silent_script_says_nothing_until_it_is_cancelled_and_then_runs_no_more():
    model = Scripted([SILENCE, Finish("stop")])
    listening = asyncio.ensure_future(collect(model.stream(PROMPT)))
    await asyncio.sleep(0)
    assert model.running == 1
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    assert model.running == 0


async def test_the_echo_says_what_it_is_and_repeats_the_last_user_message_word_by_word():
    model: Model = Echo(pace=0)
    *words, ending = await collect(model.stream(PROMPT))
    text = "".join(word.text for word in words if isinstance(word, TextDelta))
    assert "echo model" in text
    assert text.endswith("Say it again,\nplease")
    assert len(words) > 10
    assert isinstance(ending, Finish)
    assert ending.reason == "stop"
    assert ending.usage is not None
    assert (ending.usage.input_tokens, ending.usage.output_tokens) == (4, len(words))


async def test_the_echo_answers_also_when_no_user_spoke():
    events = await collect(Echo(pace=0).stream(Prompt(model="echo", messages=[Message("system", "Be kind.")])))
    assert isinstance(events[-1], Finish)


async def test_the_clock_ticks_five_times_and_ends():
    model: Model = Clock(interval=0)
    assert await collect(model.stream(PROMPT)) == [*(TextDelta(f"tick {n}\n") for n in range(1, 6)), Finish("stop")]


async def test_the_ticks_of_the_clock_arrive_apart():
    loop = asyncio.get_running_loop()
    times = [loop.time() async for _ in Clock(interval=0.02).stream(PROMPT)][:5]
    assert all(later - earlier >= 0.015 for earlier, later in pairwise(times))


async def test_a_script_goes_on_by_the_scripts_of_the_whole_answer_in_turn():
    """It skips what was shown, wherever that ends, and refuses an answer that begins otherwise."""
    whole = [TextDelta("Hello"), TextDelta(" there"), Finish("stop")]
    model = Scripted([TextDelta("Hel")], then=[[TextDelta("Hello")], whole])
    assert isinstance(model, Continues)
    assert model.continues(PROMPT)
    assert not Scripted(whole).continues(PROMPT)
    with pytest.raises(ModelError) as broken:
        await collect(model.go_on(PROMPT, Shown("Hello t")))
    assert broken.value.retryable
    assert await collect(model.go_on(PROMPT, Shown("Hello t"))) == [TextDelta("here"), Finish("stop")]
    with pytest.raises(CannotContinue):
        await collect(model.go_on(PROMPT, Shown("Goodbye")))
    assert [shown.text for shown in model.shown] == ["Hello t", "Hello t", "Goodbye"]
    assert len(model.prompts) == 3
