"""A model running into a log: retries before the first token, a limit on every silence, one ending whatever happens.

Theory of operation. Two tasks make one answer:

- the *pump* (`_pump`) iterates the model and appends what comes; it is one attempt, and a retry gets a new pump;
- the *generation* (`run`, in the producer's own task) watches the pump against the limits, and alone seals the log.

An answer that breaks off after its first words goes on where that is exact (`continuing`): a further request is asked
in each way that may do, and the seam enters the log together with the first words that are accepted.

The generation sleeps in `_nap` until the pump ends, the writer interrupts (a stop, a full log, a failed store, another
writer), or a limit passes. Tokens do not wake it: the pump only notes the time in `_last_output`, so a token costs
neither a timer nor a task. When the generation wakes it asks, in this order: was it interrupted, has the pump ended, is
a limit reached; `_reason` turns the first that holds into the ending.

Races. A model may ignore its cancellation: `_let_go` waits `closing` seconds and abandons it, and the writer ignores
what it still appends once the seal has begun. A server that shuts down cancels the generation at any point: a seal
that has begun is completed (`_finished` shields it); otherwise the lease is released for a successor, or, where none
can go on, the log is sealed with `error{code: "shutdown"}`.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import msgspec

from headwater.answer import Answer, fold
from headwater.answers import continuing
from headwater.answers.continuing import Continuing, lost
from headwater.answers.notices import Notices
from headwater.answers.source import Source
from headwater.errors import HeadwaterError, ModelError, StoreError
from headwater.events import (
    Cached,
    Continued,
    Ending,
    Error,
    Finish,
    Metadata,
    Start,
    Stop,
    error_event,
    unforeseen,
)
from headwater.log.writer import Writer
from headwater.models.model import RUN, Reattaches, prepared
from headwater.models.prices import Prices
from headwater.observe import Observers, Request
from headwater.principal import LEAVES

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Timeouts(msgspec.Struct, frozen=True):
    """How long a model may take, in seconds, and how often it is retried before its first token."""

    first_token: float = 300.0
    """Reasoning models think for minutes before their first token."""
    silence: float = 60.0
    total: float = 3600.0
    lifetime: float = math.inf
    """How long an answer may run on a platform that ends every request at a known time; it then ends as `shutdown`."""
    unread: float = 5.0
    """How long an answer that ends when its readers leave goes on without any: who comes back finds it alive."""
    retries: int = 2
    longest_wait: float = 15.0
    """How long after the beginning a retry may start. A provider that asks for more (`Retry-After`) is not waited for:
    the caller gets its error at once. A status line waits as long for a retry (`web.response.Pace`)."""
    closing: float = 5.0
    """How long a model may take to close its provider's connection before it is abandoned, and reported."""


class Generation:
    """One answer in the making: a model, its prompt, the writer it goes to and the limits on it.

    The model runs in a task of its own that only appends; this one watches it. So no token costs a timer or a task,
    and a model that ignores its cancellation cannot keep its log open.
    """

    def __init__(
        self,
        models: Sequence[Source],
        request: Request,
        writer: Writer,
        timeouts: Timeouts,
        observers: Observers | None = None,
    ) -> None:
        self._models = models
        self.request = request
        self._prompt = request.prompt
        self._writer = writer
        self._timeouts = timeouts
        self.notices = Notices(observers or Observers(), request)
        self._now = asyncio.get_running_loop().time
        self._interrupted = False
        self._awake: asyncio.Future[None] | None = None
        self._begun = self._last_output = self._now()
        self._end = self._begun + min(timeouts.total - writer.age, timeouts.lifetime)
        self._has_output = self._spoke = False  # of the request that runs, and of any request
        self._failed = False
        self._seam: Continued | None = None  # to be written before the first words of the request that runs
        self._asked = self._begun  # when the request that runs was asked first
        self._requests = 0
        self.continuing = Continuing()
        self.successor: Source | None = None
        """How the answer goes on that another server has begun; its seam is written."""
        self.recoverable = False
        """Whether a successor can go on with the answer when this server shuts down."""
        self.leaves = False
        """Whether the answer ends when its last reader has left, unless somebody else wants it."""
        self._last_read = self._begun
        self.seal: Callable[[Ending], Coroutine[Any, Any, None]] = writer.seal
        """Stores the ending; somebody may do something before."""
        self.prices: Prices | None = None
        self.asked: Cached | None = None

    @property
    def retrying(self) -> bool:
        """Whether the model has failed before its first token and is retried, so that the outcome is still to come."""
        return self._failed and not self._spoke

    @property
    def writer(self) -> Writer:
        """Where the answer goes."""
        return self._writer

    @property
    def age(self) -> float:
        """Seconds since it began here."""
        return self._now() - self._begun

    @property
    def state(self) -> str:
        """`waiting` for the first token, `retrying`, or `streaming`."""
        return "streaming" if self._spoke else "retrying" if self._failed else "waiting"

    def notify_made(self) -> None:
        """Notify observers of what came of it; called when its log has its ending."""
        begun = self._begun
        self.notices.made(self._writer, self._last_output - begun, self._now() - begun)

    async def run(self) -> None:
        """Produce the answer and seal its log; a cancellation seals it too, with an error that says so."""
        self._writer.interrupt = self._interrupt
        if self.successor is None:
            self._writer.append([Start(self._writer.log, self._prompt.model, int(time.time()), self.asked)])
        try:
            ending = await self._produce()
        except asyncio.CancelledError:
            if self.recoverable and await self._finished(self._writer.release()):
                raise
            message = "The server is shutting down; ask again in a moment."
            await self._seal(Error("shutdown", message, retryable=True, status=503))
            raise
        except Exception:  # an unforeseen error must become an ending too, or readers would wait
            logger.exception("generation of %s broke", self._writer.log)
            ending = unforeseen()
        await self._seal(ending)

    async def _seal(self, ending: Ending) -> None:
        """Seal the log; what it was continued by decides about its usage and about the cache."""
        several = self.successor is not None or self._requests > 1
        seams = fold(self._writer.entries).continued if several else ()
        await self._finished(self._close(continuing.closing(ending, seams), seams[-1].model if seams else ""))
        if not (isinstance(ending, Finish) or self._writer.fenced or self._writer.failure):
            await self._finished(self._cancel_run())

    async def _close(self, ending: Ending, model: str) -> None:
        if self.prices is not None and isinstance(ending, Finish):
            ending = await self.prices.priced(ending, model or self._prompt.model)
        await self.seal(ending)

    async def _cancel_run(self) -> None:
        """End the run that the provider goes on with: nobody comes back to it."""
        if (run := fold(self._writer.entries).metadata.get(RUN)) is not None:
            for source in self._models:
                with suppress(HeadwaterError):  # a model that cannot be built has no run
                    if isinstance(model := await source.build(), Reattaches):
                        await model.cancel(str(run))

    async def _finished(self, work: Coroutine[Any, Any, T]) -> T:
        """The outcome of some work; a cancellation waits for it, or a shutdown would lose an answer that is whole."""
        task = asyncio.create_task(work, name=f"end {self._writer.log}")
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await task
            raise

    async def _produce(self) -> Ending:
        self._spoke = self.successor is not None
        ending = await self._ask(self.successor or self._models[0])
        if self.successor is not None and _is_refused(ending):
            ending = await self._next_way(self.successor) or lost()
        while not self._interrupted and (cause := continuing.cause_of(ending)) is not None:
            further = await self._go_on(cause)
            if further is None:
                break
            ending = further
        return ending

    async def _go_on(self, cause: continuing.Cause) -> Ending | None:
        """Ask further after a break; None if nothing went on, so that the break is how the answer ends."""
        entries = self._writer.entries
        answer = fold(entries)
        if self.continuing.mode == "off" or self._now() >= self._end:
            return None
        refusal = continuing.refusal(entries, answer, self.continuing.limit)
        if refusal is not None:
            logger.info("answer %s is not continued, because %s", self._writer.log, refusal)
            return None
        broke, after, attempt = self._last_output, str(answer.offset), len(answer.continued) + 1
        # A model that has failed before its first words has been retried already.
        for source in self._models if self._spoke else self._models[1:]:
            for way in await self._ways(source, answer):
                other = source.prompt.model if source is not self._models[0] else ""
                seam = self._seam = Continued(cause, way, after, attempt, other, broke)
                ending = await self._ask(source._replace(way=way))
                if self._seam is not seam or self._interrupted:
                    return ending
        self._seam = None
        return None

    async def _next_way(self, refused: Source) -> Ending | None:
        """Go on in a way behind the one that the first seam of a successor names, which was refused; None if none."""
        answer = fold(self._writer.entries)
        ways = [way for way in await self._ways(refused, answer) if way != refused.way]
        for way in ways:
            attempt = len(answer.continued) + 1
            self._seam = Continued("server", way, str(answer.offset), attempt, waited=self._last_output)
            ending = await self._ask(refused._replace(way=way))
            if not _is_refused(ending):
                return ending
        return None

    async def _ways(self, source: Source, answer: Answer) -> Sequence[continuing.Way]:
        try:
            model = await prepared(await source.build())  # before that, one behind LangChain knows no ways
        except HeadwaterError as error:
            logger.warning("model %s cannot go on with %s: %s", source.prompt.model, self._writer.log, error)
            return ()
        return continuing.ways(answer, source.prompt, model, self.continuing.ways)

    async def _ask(self, source: Source) -> Ending:
        """Ask a model until it ends; before its first words, a failure that may pass is retried."""
        self._asked, self._requests = self._now(), self._requests + 1
        for attempt in range(self._timeouts.retries + 1):
            self._has_output = False
            try:
                return await self._attempt(source)
            except HeadwaterError as error:
                wait = self._wait_before_retry(error, attempt)
                if wait is None:
                    logger.warning("a request for answer %s failed: %s: %s", self._writer.log, error.code, error)
                    return error_event(error)
                logger.info("asking again for %s in %.1f s: %s", self._writer.log, wait, error)
                self._failed = True
                self.notices.retried(error, wait)
            await self._nap(min(wait, self._end - self._now()))
            if self._interrupted:
                break
        return self._reason()

    async def _attempt(self, source: Source) -> Ending:
        """One attempt: ask the model until it ends, is interrupted or has been silent for too long."""
        self._last_output = self._now()
        self.notices.attempted(source)
        pump = asyncio.create_task(self._pump(source), name=f"model {self._writer.log}")
        pump.add_done_callback(self._wake)
        try:
            while self._time_left() > 0 and not self._interrupted:
                if self.leaves:
                    await self._look_for_readers()
                # The first token shortens the time left from its own limit to the limit on silence, and wakes nobody.
                look = self._timeouts.unread / 5 if self.leaves else self._timeouts.silence
                if not pump.done():  # it may have ended during the look
                    await self._nap(min(self._time_left(), self._timeouts.silence, look))
                if pump.cancelled():  # not by us, and its result would look like our own cancellation
                    raise ModelError(f"model {self._prompt.model} cancelled itself", code="internal", status=500)
                if pump.done():
                    return pump.result()
            return self._reason()
        finally:
            await self._let_go(pump)
            self.notices.answered(pump)

    async def _look_for_readers(self) -> None:
        """Ask for the end of an answer that nobody has read for a while. Whoever wants it all the same keeps it."""
        now = self._now()
        if self._writer.is_read:
            self._last_read = now
        elif now - self._last_read >= self._timeouts.unread:
            try:
                self.leaves = await self._writer.leave() and self.leaves
            except StoreError as error:
                logger.warning("the end of %s, which nobody reads, could not be asked for: %s", self._writer.log, error)
            self._last_read = now

    async def _pump(self, source: Source) -> Ending:
        async with aclosing(source.ask(await source.build(), self._writer.entries)) as batches:
            async for batch in batches:
                self._last_output = self._now()
                if not batch:
                    continue  # a sign of life without words
                if not self._has_output and not all(isinstance(event, Metadata | Finish) for event in batch):
                    self._has_output = True
                    if not self._spoke:
                        self._spoke = True
                        self.notices.first_token(self._now() - self._begun)
                if self._seam is not None and (self._has_output or isinstance(batch[-1], Finish)):
                    waited = round(self._now() - self._seam.waited, 3)
                    seam, self._seam = msgspec.structs.replace(self._seam, waited=waited), None
                    batch = [seam, *batch]
                    self.notices.continued(seam)
                last = batch[-1]
                if isinstance(last, Finish):
                    self._writer.append(batch[:-1])
                    return last
                if self._writer.append(batch):
                    await self._writer.room()
        message = "The provider's stream ended without a finish reason; the answer is probably incomplete."
        return Error("truncated", message, retryable=True)

    async def _let_go(self, pump: asyncio.Task[Ending]) -> None:
        """Cancel the pump, and with it the provider's connection; wait for that at most `closing` seconds."""
        if not pump.done():
            pump.cancel()
            await asyncio.wait({pump}, timeout=self._timeouts.closing)
        if not pump.done():
            model, limit = self._prompt.model, self._timeouts.closing
            logger.error("model %s kept its provider's connection open for more than %g s", model, limit)
        elif not pump.cancelled() and (error := pump.exception()) is not None and not isinstance(error, HeadwaterError):
            logger.error("model %s broke while it was ended", self._prompt.model, exc_info=error)

    def _interrupt(self) -> None:
        self._interrupted = True
        self._wake()

    async def _nap(self, seconds: float) -> None:
        """Sleep until `_wake` or the time is over; `asyncio.wait` would hold 2 kB while a model thinks."""
        if self._interrupted:
            return
        loop = asyncio.get_running_loop()
        self._awake = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._awake
        finally:
            timer.cancel()

    def _wake(self, *_: object) -> None:
        if self._awake is not None and not self._awake.done():
            self._awake.set_result(None)

    def _time_left(self) -> float:
        limit = self._timeouts.silence if self._has_output else self._timeouts.first_token
        return min(self._last_output + limit, self._end) - self._now()

    def _wait_before_retry(self, error: HeadwaterError, attempt: int) -> float | None:
        """Seconds to wait before asking again; None when it is no use, not safe or too long."""
        if not error.retryable or self._has_output or attempt >= self._timeouts.retries:
            return None
        wait = error.retry_after if error.retry_after is not None else 0.25 * 2**attempt
        return wait if self._now() - self._asked + wait <= self._timeouts.longest_wait else None

    def _reason(self) -> Ending:
        """The ending of an answer that was ended by us and not by the model."""
        writer = self._writer
        if writer.stop is not None:
            return Stop("disconnect" if writer.stop == LEAVES else writer.stop)
        if writer.failure is not None:
            return writer.failure
        if writer.fenced:
            return Error("lost", "Another process has taken over this log.", retryable=True)
        if writer.full:
            return Error("log_limit", "The answer has reached the size that one log may have.", status=502)
        if self._now() >= self._end:
            if self._timeouts.lifetime < self._timeouts.total:
                seconds = self._timeouts.lifetime
                message = f"The server may write an answer for {seconds:g} s, and this one was longer. Ask again."
                return Error("shutdown", message, retryable=True, status=503)
            return self._too_slow("has not finished within", self._timeouts.total, "HEADWATER_TOTAL_TIMEOUT")
        if self._has_output:
            return self._too_slow("has said nothing for", self._timeouts.silence, "HEADWATER_MODEL_TIMEOUT")
        return self._too_slow("has not begun within", self._timeouts.first_token, "HEADWATER_FIRST_TOKEN_TIMEOUT")

    def _too_slow(self, what: str, seconds: float, setting: str) -> Error:
        message = f"The model {what} {seconds:g} s, the limit set by {setting}."
        return Error("timeout", message, retryable=True, status=504)


def _is_refused(ending: Ending) -> bool:
    return isinstance(ending, Error) and ending.code == "cannot_continue"
