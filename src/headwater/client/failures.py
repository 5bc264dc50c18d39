"""What can go wrong between here and a server, and how a refusal of the server becomes the error that it names."""

import httpx
import msgspec

from headwater.errors import (
    Expired,
    HeadwaterError,
    InvalidPrompt,
    ModelError,
    NoSuchLog,
    NotCached,
    RequestError,
    ShuttingDown,
    StoreError,
    UnknownModel,
)
from headwater.events import Error


class Unreachable(HeadwaterError):
    """The server could not be reached, or the connection to it broke off; trying again may help."""

    code = "unreachable"
    status = 503
    retryable = True


class NothingListens(Unreachable):
    """No connection could be made at all: most likely no server runs at the address."""


class NotHeadwater(HeadwaterError):
    """Something answers at the address, but not as Headwater does; `status` is the one it answered with."""

    code = "not_headwater"
    status = 502


class _Problem(msgspec.Struct):
    """The members of a problem JSON (RFC 9457) that Headwater writes."""

    code: str
    detail: str
    retryable: bool = False
    retry_after: float | None = None


_NAMED = (HeadwaterError, RequestError, InvalidPrompt, UnknownModel, NoSuchLog, Expired, NotCached, ShuttingDown)
_KINDS = {kind.code: kind for kind in (*_NAMED, StoreError)}
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


def is_transient(failure: HeadwaterError) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(failure, NotHeadwater):
        return False  # its status says what it answered with, not what is wrong
    return isinstance(failure, Unreachable) or failure.status in _TRANSIENT


def refusal(response: httpx.Response) -> HeadwaterError:
    """The error that a response says which is not a success; its body must have been read.

    The class is that of the code where `headwater.errors` has one. Of the others, one that names a log is that log's
    ending, so it is the model's failure. A proxy's own page is `Unreachable`, `RequestError` or `NotHeadwater`.
    """
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _foreign(response)
    from_a_log = "location" in response.headers or response.status_code >= 500
    kind = _KINDS.get(problem.code, ModelError if from_a_log else RequestError)
    failure = kind(problem.detail)
    failure.code, failure.status = problem.code, response.status_code
    failure.retryable, failure.retry_after = problem.retryable, problem.retry_after
    return failure


def failure_of(error: Error) -> HeadwaterError:
    """The exception for an `error` event that is no entry of its log: the server could not read on."""
    failure = _KINDS.get(error.code, ModelError)(error.message)
    failure.code, failure.status = error.code, error.status
    failure.retryable, failure.retry_after = error.retryable, error.retry_after
    return failure


def shown(url: httpx.URL) -> str:
    """An address as people may see it: without the password that it may hold."""
    return str(url.copy_with(userinfo=b"")).rstrip("/")


def unexpected(request: httpx.Request, what: str, status: int = 502) -> NotHeadwater:
    """The failure of a response that no Headwater server would give."""
    failure = NotHeadwater(f"{shown(request.url)} {what}; is this the address of a Headwater server?")
    failure.status = status
    return failure


def _foreign(response: httpx.Response) -> HeadwaterError:
    status = response.status_code
    what = f"answered {status} {response.reason_phrase}".rstrip()
    if status in (401, 403):
        refused = RequestError(f"{shown(response.request.url)} {what}: not allowed; send your token in Authorization")
        refused.code, refused.status = "not_allowed", status
        return refused
    if status not in _TRANSIENT:
        return unexpected(response.request, what, status)
    failure = Unreachable(f"{shown(response.request.url)} {what}")
    failure.status = status
    wait = response.headers.get("retry-after", "")
    failure.retry_after = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 9 else None
    return failure
