"""The queue of webhooks: which answers are told of, and to whom; each is sent until it is taken.

A notice is a document in the store, so it outlives the server that made it. Every server looks at the notices that are
due. It claims one by its version, and holds it for longer than a message takes; so one server sends, and another does
if that one dies. A receiver may get a message twice, with the same `webhook-id`.

A notice for a running answer waits until its log has ended, whichever server writes it, also as `lost`.
"""

import asyncio
import hashlib
import logging
import random
import time
from contextlib import aclosing, suppress
from typing import Any, Literal

import msgspec

from headwater.answer import Answer
from headwater.answers.answers import Answers
from headwater.answers.attachment import Attachment
from headwater.answers.nursery import Nursery
from headwater.dialects.native.state import whole
from headwater.errors import Conflict, Expired, HeadwaterError, NoSuchLog
from headwater.log.store import Description, listed
from headwater.observe import Made, Observer, Request
from headwater.principal import Principal
from headwater.webhooks.sender import AT_ONCE, Sender

logger = logging.getLogger(__name__)

COLLECTION = "webhooks"
LOOK = 30.0
"""Seconds between two looks at the notices, at most, and between two looks at an answer that runs elsewhere."""
HELD = 60.0
"""Seconds for which a server holds a notice that it sends."""
PAUSES = (2.0, 10.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0)
"""Seconds before a failed message is sent again; after the last of them it is given up."""
SPREAD = 0.2
"""The part of a pause by which it is shortened or prolonged at random."""
KEPT = 2 * 86_400.0
"""Seconds for which the store keeps a notice."""
SOON = 1.0
"""Seconds by which a notice may be early, so that one look finds the many that are due at about the same time."""
MOST = 256
"""Messages that wait here for one of the places of the sender; others wait in the store."""
LAST = 2.0
"""Seconds that a server which ends waits for the store to take its last notices."""
JUST = 1.0
"""Seconds after an ending for which its readers may be gone before the ending is noticed here."""


class Notice(msgspec.Struct, frozen=True):
    """Somebody who is to be told of the end of an answer."""

    id: str
    """The message id under which the answer is read."""
    tenant: str
    subject: str
    url: str
    due: float
    """When to look at it next, by the wall clock."""
    failures: int = 0
    location: str = ""
    """Where the answer is read, as its asker sees the path; empty where nobody asked to be told."""

    @property
    def name(self) -> str:
        """Its name in the collection: one for each answer and address."""
        return f"{self.id.replace('~', '-')}-{hashlib.sha256(self.url.encode()).hexdigest()[:16]}"


class Webhooks(Observer):
    """Tells servers of the ends of answers. `which` answers the operator's own `url` is told of, if there is one.

    `background`: those that a client asked for in the background; `unread`: these, and those that no client of this
    server reads as they end; `all`: every answer that is generated. With `text` the messages have the answer's text.
    `own` sends to that `url`, and `asked` to what requests name: they may not name all that the operator may.
    """

    def __init__(
        self,
        asked: Sender,
        own: Sender,
        url: str | None = None,
        which: Literal["background", "unread", "all"] = "unread",
        *,
        text: bool = False,
    ) -> None:
        self.asked = asked
        self._own = own
        self._url = url
        self._which = which
        self._text = text
        self._readers: dict[str, int] = {}
        self._left: dict[str, float] = {}
        self._expected: dict[str, list[Notice]] = {}  # of answers that are generated here, by their logs
        self._notices = Nursery("notice")
        self._tasks = Nursery("webhook")

    def accompany(self, answers: Answers) -> None:
        """Work as long as these answers have a store."""
        self._answers = answers
        answers.accompany(self._begin, self._end)

    async def expect(self, attachment: Attachment, principal: Principal, location: str, url: str | None = None) -> None:
        """Tell this address, or that of the operator, once the answer has ended. Raises `StoreError`."""
        if (url := url or self._url) is None:
            return
        notice = Notice(attachment.message_id, *principal, url, time.time() + LOOK, location=location)
        with suppress(Conflict):  # it is expected already
            await self._put(notice, 0)
        await asyncio.sleep(0)  # a producer that was started just now has no generation before its first step
        if attachment.log in self._answers.generations:  # `made` will say that it has ended
            self._expected.setdefault(attachment.log, []).append(notice)
        else:
            self._start(notice)

    def taken_over(self, request: Request, ends: bool) -> None:
        if ends:
            self.made(request)

    def made(self, request: Request, made: Made | None = None) -> None:
        log = request.log
        unread = not self._readers.get(log) and time.monotonic() - self._left.pop(log, 0.0) > JUST
        unread = unread and request.outcome != "renewal"  # nobody was to read it
        if self._url is not None and (self._which == "all" or (self._which == "unread" and unread)):
            self._notices.start(log, self._told(Notice(log, *request.principal, self._url, time.time() + LOOK)))
        for notice in self._expected.pop(log, ()):
            self._start(notice)

    def reader_came(self, log: str, dialect: str) -> None:
        self._readers[log] = self._readers.get(log, 0) + 1

    def reader_left(self, log: str, dialect: str) -> None:
        self._readers[log] -= 1
        if not self._readers[log]:
            del self._readers[log]
            now, left = time.monotonic(), self._left
            left.pop(log, None)
            left[log] = now
            while now - left[oldest := next(iter(left))] > JUST:
                del left[oldest]

    def _begin(self) -> None:
        self._bell, self._places, self._next = asyncio.Event(), asyncio.Semaphore(AT_ONCE), 0.0
        self._tasks.start("queue", self._watch())

    async def _end(self) -> None:
        await self._notices.finished(LAST)
        await self._notices.aclose()
        await self._tasks.aclose()
        await self.asked.aclose()
        await self._own.aclose()

    async def _told(self, notice: Notice) -> None:
        """Keep a notice of an answer that has ended, and send it."""
        try:
            with suppress(Conflict):  # it was expected
                await self._put(notice, 0)
                self._start(notice)
        except HeadwaterError as error:
            logger.warning("the webhook of %s is lost, because the store failed: %s", notice.id, error)

    def _start(self, notice: Notice, version: int = 0) -> bool:
        """Send a notice in a task, unless too many wait: then it is found in the store again. Whether it is sent."""
        if self._tasks.has(notice.name):
            return True
        if fits := len(self._tasks) < MOST:
            self._tasks.start(notice.name, self._tell(notice, version))
        return fits

    async def _watch(self) -> None:
        while True:
            while (pause := self._next - time.monotonic()) > 0:
                self._bell.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._bell.wait()
            self._next = time.monotonic() + LOOK
            try:
                await self._look()
            except HeadwaterError as error:
                logger.warning("webhooks wait for the store: %s", error)

    async def _look(self) -> None:
        """Send what is due, or soon will be, and look again when something else may be."""
        async with aclosing(listed(self._answers.documents, COLLECTION)) as found:
            async for _, kept in found:
                notice = msgspec.json.decode(kept.value, type=Notice)
                if (pause := notice.due - time.time()) > SOON:
                    self._look_in(pause)
                elif not self._start(notice, kept.version):
                    self._look_in(SOON)
                    return

    def _look_in(self, seconds: float) -> None:
        """Look at the notices within so many seconds."""
        self._next = min(self._next, time.monotonic() + seconds)
        self._bell.set()

    async def _tell(self, notice: Notice, version: int) -> None:
        """Send a notice if its answer has ended, unless another server does. `version` 0 stands for the newest."""
        documents = self._answers.documents
        async with self._places:
            try:
                if not version:
                    if (kept := await documents.get(notice.name, collection=COLLECTION)) is None:
                        return
                    notice, version = msgspec.json.decode(kept.value, type=Notice), kept.version
                await self._put(msgspec.structs.replace(notice, due=time.time() + HELD), version)
                reader = Principal(notice.tenant, notice.subject)
                found = await self._answers.find(notice.id, reader)
                if found.state == "open":
                    await self._put(msgspec.structs.replace(notice, due=time.time() + LOOK), version + 1)
                    return
                body = self._message(notice, found, await self._answers.answer(found, reader))
                if (failed := await self._failed(notice, body)) is not None:
                    await self._put(failed, version + 1)
                    self._look_in(failed.due - time.time())
                    return
            except Conflict:
                return  # another server was faster
            except (NoSuchLog, Expired):
                logger.warning("answer %s was gone before its webhook was sent", notice.id)
            except HeadwaterError as error:
                logger.warning("the webhook of %s waits for the store: %s", notice.id, error)
                return
            with suppress(HeadwaterError):  # it is sent again, then
                await documents.delete(notice.name, collection=COLLECTION)

    async def _failed(self, notice: Notice, body: bytes) -> Notice | None:
        """Send a message; returns when to send it again, or None if it was taken or is given up."""
        try:
            sender = self._own if notice.url == self._url else self.asked
            status = await sender.post(notice.url, f"msg_{notice.name}", body)
            why = f"status {status}"
            if 200 <= status < 300 or status == 410:  # the receiver is gone and says so
                return None
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told below and counted
            why = str(error) or type(error).__name__
        failures = notice.failures + 1
        if failures > len(PAUSES):
            logger.error("the webhook of %s is given up after %d attempts: %s", notice.id, failures, why)
            return None
        pause = PAUSES[failures - 1] * random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311 - no secret
        logger.warning("the webhook of %s failed, and is sent again in %.0f s: %s", notice.id, pause, why)
        return msgspec.structs.replace(notice, failures=failures, due=time.time() + pause)

    def _message(self, notice: Notice, found: Description, answer: Answer) -> bytes:
        shown = whole(answer)
        ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - found.age))
        message: dict[str, Any] = {
            "type": "answer.ended",
            "timestamp": ended,
            "id": notice.id,
            "state": found.state,
            "tenant": notice.tenant,
            "subject": notice.subject,
            "model": shown.model,
            "usage": shown.usage,
            "ending": shown.ending,
            "location": notice.location or f"/api/streams/{notice.id}",
        }
        return msgspec.json.encode(message | {"text": answer.text} if self._text else message)

    async def _put(self, notice: Notice, version: int) -> None:
        value = msgspec.json.encode(notice)
        await self._answers.documents.put(notice.name, value, ttl=KEPT, version=version, collection=COLLECTION)
