"""The client in blocking form, for programs without `async`: the same client, in a thread of its own."""

import asyncio
import weakref
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError
from functools import wraps
from threading import Lock, Thread, current_thread
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from headwater.client.answer import Answer, Progress
from headwater.client.client import Client
from headwater.client.conversations import Content, Conversation, Conversations
from headwater.client.patience import Notice, Patience
from headwater.events import Event, State

Given = ParamSpec("Given")
Result = TypeVar("Result")
Inner = TypeVar("Inner")
_Method = Callable[Concatenate[Inner, Given], Coroutine[Any, Any, Result]]

CLOSING = 5.0
"""Seconds for which `close` waits for the connections to close."""


class Residence:
    """The thread in which a client lives with its event loop. Other threads wait here for what they have it do."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._loop = asyncio.new_event_loop()
        leave = asyncio.Event()
        self._thread = Thread(target=_live, args=(client, self._loop, leave), name="headwater client", daemon=True)
        self._thread.start()
        self._submitting = Lock()
        # A client that nobody closes must not keep its thread when it is forgotten.
        self._leave = weakref.finalize(self, self._loop.call_soon_threadsafe, leave.set)
        self._leave.atexit = False

    def run(self, call: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Wait for the result of a call of the client. Ctrl-C cancels the call. Raises `RuntimeError` when closed."""
        if current_thread() is self._thread:
            raise RuntimeError("on_retry must not use the client that calls it, which would wait for itself")
        with self._submitting:
            if not self._leave.alive or not self._thread.is_alive():
                raise RuntimeError("the client is closed, or was made before this process was forked; make a new one")
            future = asyncio.run_coroutine_threadsafe(call(), self._loop)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("another thread closed the client meanwhile") from None
        finally:
            future.cancel()

    def end(self) -> None:
        """Close the client and end the thread."""
        with self._submitting:
            self._leave()
        self._thread.join(CLOSING)


class SyncAnswer(Progress):
    """The events of one answer, from `Start` to its ending, for a plain `for` loop; otherwise as `Answer`.

    Threads may share it: each event goes to one of them.
    """

    def __init__(self, answer: Answer, residence: Residence) -> None:
        super().__init__(answer._reader)
        self.residence = residence
        self._taking = Lock()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        with self._taking:
            if not self._reader.ready and not self.residence.run(self._reader.fill):
                raise StopIteration
            return self._reader.next()

    def read(self) -> Self:
        """Read to the ending, and return this answer. Raises as `Answer.read` does."""
        for _ in self:
            pass
        return self._whole()

    def stop(self) -> State:
        """Stop the answer on the server unless other subjects read it; returns the state reached, after 2 s at most."""
        return self.residence.run(self._reader.stop)

    def close(self) -> None:
        """Close the connection. The server goes on writing the answer, and a later read connects again."""
        self.residence.run(self._reader.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Within(Generic[Inner]):
    """Stands for an object that lives in the thread of a client."""

    def __init__(self, inner: Inner, residence: Residence) -> None:
        self.inner = inner
        self.residence = residence


@overload
def _blocking(method: "_Method[Inner, Given, Answer]") -> Callable[Concatenate[_Within[Inner], Given], SyncAnswer]: ...
@overload
def _blocking(
    method: "_Method[Inner, Given, Conversation]",
) -> Callable[Concatenate[_Within[Inner], Given], "SyncConversation"]: ...
@overload
def _blocking(method: "_Method[Inner, Given, Result]") -> Callable[Concatenate[_Within[Inner], Given], Result]: ...
def _blocking(method: "_Method[Inner, Given, Any]") -> Callable[Concatenate[_Within[Inner], Given], Any]:
    @wraps(method)
    def call(self: _Within[Inner], *args: Given.args, **kwargs: Given.kwargs) -> Any:
        home = self.residence
        found = home.run(lambda: method(self.inner, *args, **kwargs))
        if isinstance(found, Answer):
            return SyncAnswer(found, home)
        return SyncConversation(found, home) if isinstance(found, Conversation) else found

    return call


class SyncConversation(_Within[Conversation]):
    """`Conversation` with methods that block."""

    @property
    def id(self) -> str:
        """The id of the conversation."""
        return self.inner.id

    @property
    def content(self) -> Content:
        """What it had when it was read, and what was asked here since."""
        return self.inner.content

    ask = _blocking(Conversation.ask)
    regenerate = _blocking(Conversation.regenerate)
    refresh = _blocking(Conversation.refresh)


class SyncConversations(_Within[Conversations]):
    """`Conversations` with methods that block."""

    list = _blocking(Conversations.list)
    create = _blocking(Conversations.create)
    get = _blocking(Conversations.get)
    rename = _blocking(Conversations.rename)
    delete = _blocking(Conversations.delete)
    share = _blocking(Conversations.share)
    unshare = _blocking(Conversations.unshare)
    export = _blocking(Conversations.export)
    import_ = _blocking(Conversations.import_)


class SyncClient(_Within[Client]):
    """`Client` for programs without `async`: its methods block, and answers are read by a plain `for` loop.

    Several threads may use it at once. In the thread of a running event loop, such as a notebook's, it blocks that
    loop. `on_retry` is called in another thread. Closing it ends its connections and its thread. Raises as `Client`.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        patience: Patience = Patience(),  # noqa: B008 - immutable
        on_retry: Notice | None = None,
    ) -> None:
        client = Client(base_url, api_key=api_key, headers=headers, patience=patience, on_retry=on_retry)
        super().__init__(client, Residence(client))
        self.conversations = SyncConversations(client.conversations, self.residence)

    chat = _blocking(Client.chat)
    complete = _blocking(Client.complete)
    attach = _blocking(Client.attach)
    about = _blocking(Client.about)

    def close(self) -> None:
        """Close every connection. The server goes on writing its answers."""
        self.residence.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _live(client: Client, loop: asyncio.AbstractEventLoop, leave: asyncio.Event) -> None:
    async def stay() -> None:
        async with client:
            await leave.wait()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:  # cancels what is left, and closes the loop
        runner.run(stay())
