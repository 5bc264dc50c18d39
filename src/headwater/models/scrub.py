"""What may be told of a provider's failure: any exception becomes a `ModelError` whose message holds no secret.

Providers echo keys and addresses in their messages, and ours are stored in logs and shown to strangers. Exceptions are
recognised by what they carry (`status_code`, `response`, their cause, their class's name), never by importing
somebody's SDK: it may not be installed, and importing it costs a second.
"""

import datetime
import email.utils
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from headwater.errors import HeadwaterError, ModelError

HIDDEN = "[hidden]"
MAX_MESSAGE = 500
"""Characters of a provider's message that are kept: enough to act on, too little to fill a log."""

_MAX_READ = 20_000  # a proxy's HTML error page can be megabytes long; nothing is searched beyond this
_SHORTEST = 4  # a configured secret shorter than this would blank out ordinary words
_MAX_RETRY_AFTER = 24 * 3600.0  # longer is a mistake of units at the other end

# Written without open-ended repetition before a literal: a hostile message must not cost quadratic time.
_NAME = r"(?:key|token(?!s)|secret|passw(?:or)?d|signature|credential|authorization|cookie)[\w.-]{0,40}"
_IS = r"(?: provided)?\\?[\"']?\s?[=:]\s?\\?"
_SCHEME = r"(?:(?:bearer|basic|token|digest|apikey|key)\s+)?"
_VALUE = r"(?:\"[^\"]*(?:\"|$)|'[^']*(?:'|$)|[^\s\"'&,;<>{}\[\]()]+)"
_PATTERNS = (
    # https://user:password@host
    (re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://)[^\s/\"'<>]+@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    # ?key=x, api_key=x, "x-api-key": "x", Authorization: Bearer x
    (re.compile(rf"({_NAME}{_IS}){_SCHEME}{_VALUE}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(rf"(\b(?:bearer|basic)\s+){_VALUE}", re.IGNORECASE), rf"\1{HIDDEN}"),
    # Keys that name themselves: OpenAI, Anthropic, Groq, xAI, Hugging Face, GitHub, Google, AWS, JSON Web Tokens.
    # The asterisks are OpenAI's own masking, which leaves the key's first and last characters readable.
    (
        re.compile(
            r"(?<![A-Za-z0-9])(?:(?:sk|pk|rk|gsk|xai|hf|gh[opsur]|pat)[-_][\w.*-]{6,}|AIza[\w-]{20,}"
            r"|(?:AKIA|ASIA)[A-Z0-9]{12,}|eyJ[\w-]{8,}\.[\w-]+\.?[\w-]*)"
        ),
        HIDDEN,
    ),
)


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """The text on one line, without keys, tokens and passwords, and not longer than `MAX_MESSAGE`.

    `secrets` are hidden whatever they look like, the longest first, since one may begin another. Cutting comes last:
    a key cut in half would no longer be recognised.
    """
    hidden = sorted({secret for secret in secrets if len(secret) >= _SHORTEST}, key=len, reverse=True)
    line = " ".join(_hide(text[:_MAX_READ], hidden).split())
    if len(text) > _MAX_READ:
        line = line.rpartition(" ")[0]  # not within a word, for the same reason
    line = _hide(line, hidden)  # once more: joining the lines may have put a secret together
    for pattern, replacement in _PATTERNS:
        line = pattern.sub(replacement, line)
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"


def _hide(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def as_model_error(failure: Exception, *, secrets: Iterable[str] = (), answering: bool = False) -> ModelError:
    """The `ModelError` that says what an exception from a provider's library means.

    `answering` tells whether part of the answer had already come: the same broken connection is then a cut.
    """
    if isinstance(failure, ModelError):
        return failure
    if isinstance(failure, HeadwaterError):
        return ModelError(scrub(str(failure), secrets), code=failure.code, status=failure.status)
    chain = list(_causes(failure))
    said = scrub(_message(chain), secrets)
    status = next((found for one in chain if (found := _status(one)) is not None), None)
    if status is not None:
        return _by_status(status, said, chain)
    return _by_kind(said, chain, answering)


def unavailable(failure: Exception, name: str, secrets: Iterable[str] = ()) -> ModelError:
    """The `ModelError` of a model that could not be built: a package not installed, a key not set."""
    if isinstance(failure, ModelError):
        return failure
    said = scrub(str(failure) or type(failure).__name__, secrets)
    return ModelError(f"the model {name} cannot be used: {said}", code="model_unavailable", status=503)


def _by_status(status: int, said: str, chain: list[BaseException]) -> ModelError:
    """What an HTTP answer of the provider means."""
    wait = next((found for one in chain if (found := _retry_after(one)) is not None), None)

    def error(code: str, ours: int, explained: str, *, retryable: bool = False) -> ModelError:
        message = f"{explained} ({status}): {said}"
        return ModelError(message, code=code, status=ours, retryable=retryable, retry_after=wait)

    if status in (401, 402, 403):
        # 502, not 401: it is this server's key or account that is refused, never the caller's.
        return error("provider_auth", 502, "the provider does not accept this server's credentials")
    if status == 429:
        # An exhausted account comes as 429 too, and waiting does not fill it.
        spent = "insufficient_quota" in said
        return error("rate_limited", 429, "the provider limits this server's rate", retryable=not spent)
    if status in (400, 413, 422) and (status == 413 or _is_context_length(said, chain)):
        return error("context_length", 413, "the prompt is too long for the model")
    if status == 404:
        return error("provider_not_found", 502, "the provider does not know this model or address")
    if status in (400, 422):
        return error("provider_refused", 422, "the provider refused the request")
    if status in (408, 504):
        return error("provider_timeout", 504, "the provider took too long", retryable=True)
    if status >= 500 or status in (409, 425):
        return error("provider_error", 502, "the provider failed", retryable=True)
    return error("provider_refused", 502, "the provider refused the request")


def _by_kind(said: str, chain: list[BaseException], answering: bool) -> ModelError:
    """What a failure means that came without an HTTP status."""
    if _is_context_length(said, chain):
        return ModelError(f"the prompt is too long for the model: {said}", code="context_length", status=413)
    if any(isinstance(one, TimeoutError) or "Timeout" in type(one).__name__ for one in chain):
        return ModelError(f"the provider took too long: {said}", code="provider_timeout", status=504, retryable=True)
    if any(isinstance(one, json.JSONDecodeError | UnicodeDecodeError) for one in chain):
        return ModelError(f"the provider's stream cannot be read: {said}", code="provider_garbled")
    if any(_is_broken_connection(one) for one in chain):
        # A peer that accepted the connection and then broke it has been reached, also before its first token.
        if answering or any(type(one).__name__ in _CUT_NAMES for one in chain):
            return ModelError(f"the provider's connection broke off: {said}", code="provider_cut", retryable=True)
        return ModelError(f"the provider cannot be reached: {said}", code="provider_unreachable", retryable=True)
    if any(isinstance(one, TypeError) and "unexpected keyword argument" in str(one) for one in chain):
        # A parameter that this provider's client does not know: the request's, so the caller can leave it out.
        return ModelError(f"the model does not take this parameter: {said}", code="provider_refused", status=422)
    if any(isinstance(getattr(one, "body", None), Mapping) for one in chain):
        # `data: {"error": …}` in an answer that began with 200.
        return ModelError(f"the provider failed: {said}", code="provider_error", retryable=True)
    return ModelError(f"the model failed: {type(chain[0]).__name__}: {said}", code="provider_error")


_BROKEN_NAMES = {
    "APIConnectionError",
    "ConnectError",
    "ClientConnectionError",
    "TransportError",
    "EndpointConnectionError",
}
_CUT_NAMES = {"RemoteProtocolError", "ReadError", "WriteError", "ServerDisconnectedError", "ClientPayloadError"}
_CONTEXT = re.compile(
    r"context[_ ](?:length|window|size)|prompt is too long|too many tokens|ContextWindowExceeded", re.IGNORECASE
)


def _is_broken_connection(one: BaseException) -> bool:
    return isinstance(one, OSError) or any(base.__name__ in _BROKEN_NAMES | _CUT_NAMES for base in type(one).__mro__)


def _is_context_length(said: str, chain: list[BaseException]) -> bool:
    return bool(_CONTEXT.search(said)) or any("ContextOverflow" in type(one).__name__ for one in chain)


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """The exception and what caused it, outermost first; a group stands for the first of its members."""
    seen: set[int] = set()
    one: BaseException | None = failure
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            one = cast("BaseExceptionGroup[BaseException]", one).exceptions[0]
        else:
            one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _message(chain: list[BaseException]) -> str:
    """The provider's own words where an exception holds its answer, else the exception's."""
    for one in chain:
        body: Any = getattr(one, "body", None)
        if isinstance(body, Mapping):
            inner: Any = body.get("error", body)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            if isinstance(inner, Mapping):
                fields = cast("Mapping[str, Any]", inner)
                words = [str(fields[name]) for name in ("message", "code") if fields.get(name)]
                if words:
                    return " / ".join(dict.fromkeys(words))
            elif isinstance(inner, str) and inner:
                return inner
    return next((text for one in chain if (text := str(one))), type(chain[0]).__name__)


def _status(one: BaseException) -> int | None:
    """The HTTP status an exception carries, wherever its library keeps it."""
    response: Any = getattr(one, "response", None)
    body: Any = getattr(one, "body", None)
    # The last is OpenRouter's: an error in mid-stream, after a 200, tells its status as a number in `code`.
    inside: Any = cast("Mapping[str, Any]", body).get("code") if isinstance(body, Mapping) else None
    for found in (getattr(one, "status_code", None), getattr(response, "status_code", None), inside):
        if isinstance(found, int) and 400 <= found <= 599:
            return found
    return None


def _retry_after(one: BaseException) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `Retry-After` (seconds, or an HTTP date)."""
    headers: Any = getattr(getattr(one, "response", None), "headers", None)
    if headers is None:
        return None
    millis, written = headers.get("retry-after-ms"), headers.get("retry-after")
    seconds = _number(millis)
    seconds = _number(written) if seconds is None else seconds / 1000
    if seconds is None and isinstance(written, str):
        try:
            date = email.utils.parsedate_to_datetime(written)
        except ValueError:
            return None
        # HTTP dates are GMT; one that says "-0000" is parsed without a zone.
        date = date if date.tzinfo else date.replace(tzinfo=datetime.UTC)
        seconds = (date - datetime.datetime.now(datetime.UTC)).total_seconds()
    return None if seconds is None else min(max(seconds, 0.0), _MAX_RETRY_AFTER)


def _number(written: object) -> float | None:
    try:
        value = float(cast("str", written))
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
