"""Models behind OpenAI's Responses API, whose provider can go on with a run while nobody is connected to it."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from headwater.errors import CannotContinue, ModelError
from headwater.events import Event, Metadata
from headwater.models.continuation import Events
from headwater.models.model import Shown
from headwater.models.openai.answering import answered, refused
from headwater.models.openai.connection import Account, Connections
from headwater.models.openai.lines import ErrorFrame
from headwater.models.openai.responses_request import body
from headwater.models.openai.responses_stream import Behind, ResponsesStream
from headwater.models.scrub import as_model_error, missing, scrub
from headwater.prompt import Prompt

if TYPE_CHECKING:
    import aiohttp

logger = logging.getLogger(__name__)

_KEEPING = re.compile(r"\b(background|store)\b")
_NOT_TAKEN = frozenset({400, 403, 422, 501})  # of a request, for the sake of a field
_NOT_HAD = frozenset({400, 404, 405, 410, 422, 501})  # of a run
_LOOK = 2.0  # seconds between two looks at a run that the provider does not stream any more
_CANCEL = 1.0  # seconds that the end of a run may take


class ResponsesModel:
    """A model at an address with OpenAI's Responses API, over its own connections.

    Where `account.keeps` allows it, the provider runs the request in the background: the run outlives a connection that
    breaks off, and `reattach` comes back to it. A server that refuses this is asked without it from then on.
    """

    def __init__(
        self,
        model: str,
        account: Account = Account(),  # noqa: B008 - immutable
        *,
        connections: Connections | None = None,
    ) -> None:
        self.name = f"openai-responses:{model}"
        self._model = model
        self._account = account
        self._shared = connections is not None
        self._connections = connections or Connections(account)
        self._keeps = account.keeps

    async def prepare(self) -> None:
        """Import what the first request needs. Raises `ModelError`."""
        if self._account.key is None and self._account.is_openai:
            raise ModelError(missing(self.name, "OPENAI_API_KEY"), code="model_unavailable", status=503)
        await self._connections.session()

    async def aclose(self) -> None:
        """Close the model's own connections to the provider; a later use opens new ones."""
        if not self._shared:
            await self._connections.aclose()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """The events of one answer; see `headwater.models.model.Model.stream`.

        A run of which nothing was shown when its connection broke is come back to: a second one would be paid too.
        """
        reading, said = ResponsesStream(), False
        if prompt.extra.get("logprobs"):
            reading.leave_out("logprobs")
        broken: ModelError | None = None
        try:
            async with aclosing(answered(partial(self._post, prompt, reading), reading, self._connections)) as batches:
                async for batch in batches:
                    said = said or not all(isinstance(event, Metadata) for event in batch)
                    yield batch
        except ModelError as failure:
            broken = failure
        if broken is not None and (said or reading.run is None or broken.code != "provider_cut"):
            raise broken
        if said or reading.run is None or reading.ended:
            return
        try:
            async with aclosing(self.reattach(reading.run, prompt, Shown(""))) as batches:
                async for batch in batches:
                    said = said or bool(batch)
                    yield batch
        except CannotContinue:
            if broken is not None:
                raise broken from None
        except ModelError:
            if not said:  # the question is asked anew, and nobody would come back to this run
                await self.cancel(reading.run)
            raise

    async def reattach(self, run: str, prompt: Prompt, shown: Shown) -> AsyncGenerator[Sequence[Event], None]:
        """The events of this run that follow what was shown; see `headwater.models.model.Reattaches`."""
        behind = Behind(shown)
        try:
            async with aclosing(self._told(run)) as batches:
                async for batch in batches:
                    yield behind.rest(batch)
        except ModelError as failure:
            if isinstance(failure.__cause__, ErrorFrame):  # the run itself has failed
                raise CannotContinue(str(failure)) from failure
            raise

    async def cancel(self, run: str) -> None:
        """End a run that nobody comes back to, within a second. Never raises: there is nothing to be done about it."""
        try:
            async with asyncio.timeout(_CANCEL):
                response = await self._connections.request("POST", self._address(run) + "/cancel")
                self._connections.release(response, done=True)
            if response.status != 200:
                logger.info("the provider did not end its run %s: HTTP %d", run, response.status)
        except Exception as failure:  # noqa: BLE001 - whatever a client's library raises
            error = as_model_error(failure, secrets=self._account.secrets)
            logger.warning("the provider's run %s could not be ended: %s", run, error)

    async def _told(self, run: str) -> Events:
        """A run from its beginning. A provider streams it for some minutes only; then it tells it once it is whole."""
        streamed = True
        while True:
            reading, place = ResponsesStream(), self._address(run) + ("?stream=true" if streamed else "")
            try:
                async with aclosing(answered(partial(self._get, place), reading, self._connections)) as batches:
                    async for batch in batches:
                        yield batch
            except CannotContinue:
                if not streamed:
                    raise
                streamed = False
                continue
            if streamed or reading.ended:
                return
            await asyncio.sleep(_LOOK)
            yield []

    async def _get(self, place: str) -> "aiohttp.ClientResponse":
        response = await self._connections.request("GET", place)
        if response.status == 200:
            return response
        refusal = await refused(response, self._connections)
        if response.status in _NOT_HAD:
            raise CannotContinue(f"the provider has not got the run: {scrub(str(refusal), self._account.secrets)}")
        raise refusal

    def _address(self, run: str) -> str:
        return f"{self._account.address}/responses/{quote(run, safe='')}"

    async def _post(self, prompt: Prompt, reading: ResponsesStream) -> "aiohttp.ClientResponse":
        await self.prepare()
        fields, keeps = self._connections.fields, self._keeps
        while True:
            wanted = body(prompt, self._model, keeps=keeps)
            sent = fields.adapted(wanted, chat=False)
            response = await self._connections.post("/responses", msgspec.json.encode(sent))
            if response.status == 200:
                self._keeps, reading.kept = keeps, "background" in sent
                return response
            refusal = await refused(response, self._connections)
            if "background" in sent and response.status in _NOT_TAKEN and _KEEPING.search(refusal.text):
                keeps = False
            elif not fields.learn(response.status, refusal.text, sent):
                raise refusal
