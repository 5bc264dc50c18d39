"""Which endings are worth caching: the same by every way to the provider."""

import msgspec
import pytest
from raw import DONE, Raw, chunk, line
from upstream import Upstream
from ways import EVERY_CHAT, EVERY_WAY, HELLO, ONCE_UPON, Build, answer, joined_answer, until_failure

from headwater.errors import ModelError
from headwater.events import Finish, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, Usage, is_admissible


@EVERY_CHAT
async def test_a_refusal_is_passed_on_and_not_cached(build: Build) -> None:
    """OpenAI streams it beside the content, and ends with "stop" as if it had answered."""
    pieces = [chunk(role="assistant", content="", refusal=None), chunk(refusal="I can't"), chunk(refusal=" help.")]
    async with Raw(pieces=[*pieces, chunk("stop"), DONE]) as upstream:
        assert await joined_answer(build(upstream)) == [TextDelta("I can't help."), Finish("content_filter")]


@EVERY_CHAT
async def test_a_refusal_within_a_delta_that_has_content_is_not_lost(build: Build) -> None:
    """Some servers send every field in every delta, and some begin to answer first."""
    pieces = [chunk(content="Well. "), chunk(content="", refusal="No"), chunk(content="", refusal="!")]
    async with Raw(pieces=[*pieces, chunk("stop"), DONE]) as upstream:
        assert await joined_answer(build(upstream)) == [TextDelta("Well. No!"), Finish("content_filter")]


@EVERY_WAY
async def test_an_empty_answer_is_not_cached(build: Build) -> None:
    """The model may be silent, or its text may be in a field that is not read here."""
    async with Upstream(tokens=[]) as upstream:
        for upstream.finish in ("stop", "tool_calls", "function_call"):
            assert await joined_answer(build(upstream)) == [Finish("other", Usage(3, 2))]
    assert not is_admissible(Finish("other"))


@EVERY_CHAT
async def test_an_answer_whose_tool_calls_never_came_is_not_cached(build: Build) -> None:
    """Whatever text came before them."""
    async with Upstream(tokens=["Let me see"], finish="tool_calls") as upstream:
        assert await joined_answer(build(upstream)) == [TextDelta("Let me see"), Finish("other", Usage(3, 2))]


@EVERY_CHAT
@pytest.mark.parametrize("extra", [{"functions": [{"name": "f"}]}, {"function_call": "auto"}])
async def test_functions_of_the_older_kind_are_refused(build: Build, extra: dict[str, object]) -> None:
    """Their calls come in a form that no event has; `tools` do the same."""
    async with Upstream() as upstream:
        with pytest.raises(ModelError, match="tools") as failure:
            await answer(build(upstream), msgspec.structs.replace(HELLO, extra=extra))
        assert (failure.value.code, failure.value.status, upstream.calls) == ("provider_refused", 422, 0)


@EVERY_CHAT
async def test_a_whole_message_where_a_delta_belongs_is_read_like_one(build: Build) -> None:
    """Some servers send one for an answer that is not streamed."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": "Hello", "tool_calls": [call]}
    whole = line({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    async with Raw(pieces=[whole, DONE]) as upstream:
        assert await joined_answer(build(upstream)) == [
            TextDelta("Hello"),
            ToolCallStart("c1", "f"),
            ToolCallDelta("c1", "{}"),
            ToolCallEnd("c1"),
            Finish("tool_calls"),
        ]


@EVERY_WAY
@pytest.mark.parametrize("reason", ["error", "ABORT", "insufficient_system_resource", "malformed_function_call"])
async def test_a_provider_that_failed_has_not_finished(build: Build, reason: str) -> None:
    """Mistral, OpenRouter, vLLM, DeepSeek and Google report their own failure as a reason to end."""
    async with Upstream(finish=reason) as upstream:
        prompt = ONCE_UPON if "completion" in build.__name__ else HELLO
        events, failure = await until_failure(build(upstream), prompt)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Hello"
    assert (failure.code, failure.status, failure.retryable) == ("provider_error", 502, True)
    assert reason in str(failure)
