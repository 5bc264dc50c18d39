"""What the end of an answer is worth: the same whichever way the provider is reached."""

import msgspec
import pytest
from raw import DONE, Raw, line, said
from upstream import Upstream
from ways import ASKED, EVERY_CHAT, EVERY_WAY, HELLO, Build, answer, direct_chat, said_until_it_failed, told

from headwater.errors import ModelError
from headwater.events import Finish, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, Usage, is_admissible


@EVERY_CHAT
async def test_a_refusal_is_told_and_is_no_answer_to_keep(build: Build) -> None:
    """OpenAI streams it beside the content, and says "stop" as if it had answered."""
    pieces = [said(role="assistant", content="", refusal=None), said(refusal="I can't"), said(refusal=" help.")]
    async with Raw(pieces=[*pieces, said("stop"), DONE]) as upstream:
        assert await told(build(upstream)) == [TextDelta("I can't help."), Finish("content_filter")]


@EVERY_CHAT
async def test_a_refusal_within_a_delta_that_has_content_is_not_lost(build: Build) -> None:
    """Some servers tell every field in every delta, and some begin to answer first."""
    pieces = [said(content="Well. "), said(content="", refusal="No"), said(content="", refusal="!")]
    async with Raw(pieces=[*pieces, said("stop"), DONE]) as upstream:
        assert await told(build(upstream)) == [TextDelta("Well. No!"), Finish("content_filter")]


@EVERY_WAY
async def test_an_end_with_nothing_before_it_is_no_answer_to_keep(build: Build) -> None:
    """It may be a model's own silence, but as well words in a field that nobody here reads."""
    async with Upstream(tokens=[]) as upstream:
        for upstream.finish in ("stop", "tool_calls", "function_call"):
            assert await told(build(upstream)) == [Finish("other", Usage(3, 2))]
    assert not is_admissible(Finish("other"))


@EVERY_CHAT
async def test_tool_calls_that_never_came_are_no_answer_to_keep(build: Build) -> None:
    """Whatever was said before them."""
    async with Upstream(tokens=["Let me see"], finish="tool_calls") as upstream:
        assert await told(build(upstream)) == [TextDelta("Let me see"), Finish("other", Usage(3, 2))]


@EVERY_CHAT
@pytest.mark.parametrize("asked", [{"functions": [{"name": "f"}]}, {"function_call": "auto"}])
async def test_functions_of_the_older_kind_are_refused(build: Build, asked: dict[str, object]) -> None:
    """Their calls come in a form that no reader of a log would see; `tools` say the same."""
    async with Upstream() as upstream:
        with pytest.raises(ModelError, match="tools") as failure:
            await answer(build(upstream), msgspec.structs.replace(HELLO, extra=asked))
        assert (failure.value.code, failure.value.status, upstream.calls) == ("provider_refused", 422, 0)


async def test_a_whole_message_where_a_delta_belongs_is_read_like_one() -> None:
    """Some servers send one for an answer that they did not stream."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": "Hello", "tool_calls": [call]}
    whole = line({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    async with Raw(pieces=[whole, DONE]) as upstream:
        assert await told(direct_chat(upstream)) == [
            TextDelta("Hello"),
            ToolCallStart("c1", "f"),
            ToolCallDelta("c1", "{}"),
            ToolCallEnd("c1"),
            Finish("stop"),
        ]


@EVERY_WAY
@pytest.mark.parametrize("reason", ["error", "ABORT", "insufficient_system_resource", "malformed_function_call"])
async def test_a_provider_that_failed_has_not_finished(build: Build, reason: str) -> None:
    """Mistral, OpenRouter, vLLM, DeepSeek and Google tell their own failure as a reason to end."""
    async with Upstream(finish=reason) as upstream:
        prompt = ASKED if "completion" in build.__name__ else HELLO
        events, failure = await said_until_it_failed(build(upstream), prompt)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Hello"
    assert (failure.code, failure.status, failure.retryable) == ("provider_error", 502, True)
    assert reason in str(failure)
