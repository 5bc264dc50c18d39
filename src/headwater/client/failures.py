"""Errors of the client, and the conversion of a server's refusals into exceptions."""

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
    """The server could not be reached, or the connection broke. A retry may help."""

    code = "unreachable"
    status = 503
    retryable = True


class NothingListens(Unreachable):
    """No connection could be opened: most likely no server runs at the address."""


class NotHeadwater(HeadwaterError):
    """The address answers, but not as a Headwater server does. `status` is the HTTP status of the response."""

    code = "not_headwater"
    status = 502


class _Problem(msgspec.Struct):
    """The members of Headwater's problem JSON (RFC 9457) that the client uses."""

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
        return False  # its status is that of the foreign response
    return isinstance(failure, Unreachable) or failure.status in _TRANSIENT


def refusal(response: httpx.Response) -> HeadwaterError:
    """The exception for an unsuccessful response, whose body must have been read.

    A code of `headwater.errors` decides the class. Any other problem that names a log is that log's ending, so it
    becomes `ModelError`. A response of a proxy becomes `Unreachable`, `RequestError` or `NotHeadwater`.
    """
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _foreign(response)
    from_a_log = "location" in response.headers or response.status_code >= 500
    told = Error(problem.code, problem.detail, problem.retryable, problem.retry_after, response.status_code)
    return failure_of(told, ModelError if from_a_log else RequestError)


def failure_of(error: Error, unnamed: type[HeadwaterError] = ModelError) -> HeadwaterError:
    """The exception for a failure that is no entry of a log, of the class `unnamed` where its code names none."""
    failure = _KINDS.get(error.code, unnamed)(error.message)
    failure.code, failure.status = error.code, error.status
    failure.retryable, failure.retry_after = error.retryable, error.retry_after
    return failure


def shown(url: httpx.URL) -> str:
    """An address for people, without user name and password."""
    return str(url.copy_with(userinfo=b"")).rstrip("/")


def unexpected(request: httpx.Request, what: str, status: int = 502) -> NotHeadwater:
    """The exception for a response that no Headwater server would send."""
    failure = NotHeadwater(f"the address {shown(request.url)} {what}; is it that of a Headwater server?")
    failure.status = status
    return failure


def _foreign(response: httpx.Response) -> HeadwaterError:
    status = response.status_code
    what = f"answered {status} {response.reason_phrase}".rstrip()
    if status in (401, 403):
        what = f"the address {shown(response.request.url)} {what}: not allowed; send your token in Authorization"
        return failure_of(Error("not_allowed", what, status=status), RequestError)
    if status not in _TRANSIENT:
        return unexpected(response.request, what, status)
    wait = response.headers.get("retry-after", "")
    seconds = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 9 else None
    what = f"the address {shown(response.request.url)} {what}"
    return failure_of(Error("unreachable", what, True, seconds, status), Unreachable)
