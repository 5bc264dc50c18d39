"""How a model releases its provider: the same by every way to the provider."""

import asyncio
import time
from contextlib import aclosing

from upstream import Upstream
from ways import EVERY_WAY, HELLO, Build, first, texts

from headwater.events import TextDelta


@EVERY_WAY
async def test_each_token_is_there_before_the_next_one_is_sent(build: Build) -> None:
    """No token waits to fill a batch."""
    async with Upstream(tokens=["a", "b", "c"], gated=True) as upstream:
        model = build(upstream)
        async with aclosing(model.stream(HELLO)) as batches:
            for token in "abc":
                upstream.release()
                assert await first(batches) == [TextDelta(token)]
        await model.aclose()


@EVERY_WAY
async def test_cancelling_closes_the_providers_connection_while_it_is_silent(build: Build) -> None:
    """Nobody pays for tokens that nobody reads."""
    async with Upstream(silent_after=1) as upstream:
        model = build(upstream)
        begun = asyncio.Event()

        async def read() -> None:
            async with aclosing(model.stream(HELLO)) as batches:
                while await first(batches):
                    begun.set()

        reading = asyncio.create_task(read())
        await begun.wait()
        cancelled_at = time.monotonic()
        reading.cancel()
        await asyncio.wait({reading})
        await asyncio.wait_for(upstream.requests[0].closed.wait(), 5)
        assert upstream.requests[0].closed_at is not None
        assert upstream.requests[0].closed_at - cancelled_at < 1
        assert reading.cancelled()
        await model.aclose()


@EVERY_WAY
async def test_closing_the_stream_closes_the_providers_connection(build: Build) -> None:
    """Also if the stream is still referenced."""
    async with Upstream(silent_after=1) as upstream:
        model = build(upstream)
        stream = model.stream(HELLO)
        assert await first(stream) == [TextDelta("Hel")]
        await stream.aclose()
        await asyncio.wait_for(upstream.requests[0].closed.wait(), 1)
        await model.aclose()


@EVERY_WAY
async def test_a_request_without_an_answer_is_cancelled_too(build: Build) -> None:
    """The provider has the request and thinks; a cancellation is not its failure."""
    async with Upstream(gated=True, reasoning=[]) as upstream:
        model = build(upstream)
        asking = asyncio.ensure_future(anext(model.stream(HELLO)))
        await upstream.received()
        asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled()
        await asyncio.wait_for(upstream.requests[0].closed.wait(), 1)
        await model.aclose()


@EVERY_WAY
def test_a_model_works_in_one_event_loop_after_another(build: Build) -> None:
    """Connections belong to the loop that made them."""
    server: list[Upstream] = []

    async def twice() -> None:
        async with Upstream() as upstream:
            server.append(upstream)
            model = build(upstream)
            for _ in range(2):
                async with aclosing(model.stream(HELLO)) as batches:
                    assert "".join(texts([event async for batch in batches for event in batch])) == "Hello"
            await model.aclose()

    asyncio.run(twice())
    asyncio.run(twice())
