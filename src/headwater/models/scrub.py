"""Turns any exception of a provider's library into a `ModelError` whose message contains no secret.

Providers echo keys and addresses in their messages, and ours are stored in logs and shown to strangers. Exceptions are
recognised by their attributes (`status_code`, `response`, cause) and class names, never by importing an SDK: it may not
be installed, and importing it takes a second.
"""

import datetime
import email.utils
import json
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from headwater.errors import HeadwaterError, ModelError

HIDDEN = "[hidden]"
MAX_MESSAGE = 500
"""Characters of a provider's message that are kept: enough to act on, too few to fill a log."""

_MAX_READ = 20_000  # a proxy's HTML error page can be megabytes long; nothing is searched beyond this
_SHORTEST = 4  # a configured secret shorter than this would blank out ordinary words
_MAX_RETRY_AFTER = 24 * 3600.0  # a longer wait is the provider's mistake of units

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

    `secrets` are hidden in any form, the longest first, since one may be the beginning of another. Cutting comes last,
    because half a key would no longer be recognised.
    """
    hidden = sorted({secret for secret in secrets if len(secret) >= _SHORTEST}, key=len, reverse=True)
    line = " ".join(_hide(text[:_MAX_READ], hidden).split())
    if len(text) > _MAX_READ:
        line = line.rpartition(" ")[0]  # cut between words, for the same reason
    line = _hide(line, hidden)  # once more: joining the lines may have put a secret together
    for pattern, replacement in _PATTERNS:
        line = pattern.sub(replacement, line)
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"


def _hide(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def as_model_error(failure: Exception, *, secrets: Iterable[str] = (), answering: bool = False) -> ModelError:
    """The `ModelError` for an exception from a provider's library.

    `answering` tells whether the provider had begun to answer: a broken connection is then a cut, not unreachable.
    """
    if isinstance(failure, ModelError):
        return failure
    if isinstance(failure, HeadwaterError):
        message = scrub(str(failure), secrets)
        return ModelError(message, code=failure.code, status=failure.status, told=failure.told)
    chain = list(_causes(failure))
    ours = next((cause for cause in chain if isinstance(cause, ModelError)), None)
    if ours is not None:
        return ours  # within another library's exception
    encoded = next((cause for cause in chain if type(cause).__name__ == "ContentEncodingError"), None)
    if encoded is not None:
        unread = "the provider's answer is compressed, although none was asked for, and cannot be read"
        message = f"{unread}: {scrub(str(encoded), secrets)}"
        return ModelError(message, code="provider_garbled", told=f"{unread}. {_LOG}")
    message, deepest = _message(chain), str(chain[-1])
    status = next((found for cause in chain if (found := _status(cause)) is not None), None)
    if status is not None:
        return _by_status(status, scrub(message, secrets), chain)
    # A library's own exception may only say that the connection failed, and its cause to which address and why.
    return _by_kind(scrub(message if deepest in message else f"{message} ({deepest})", secrets), chain, answering)


def unavailable(failure: Exception, name: str, secrets: Iterable[str] = ()) -> ModelError:
    """The `ModelError` for a model that could not be built: a package not installed, a key not set.

    Clients read which of the two it is, and the command or the variable that helps.
    """
    if isinstance(failure, ModelError):
        return failure
    message = scrub(str(failure) or type(failure).__name__, secrets)
    cannot = f"the model {name} cannot be used"
    package = _PACKAGE.search(message) if isinstance(failure, ImportError) else None
    variable = _VARIABLE.search(message)
    if package is not None:
        told = f"{cannot}: the package {package[1]} is not installed. Install it where the server runs, with "
        told += f"`pip install {shlex.quote(package[1])}`, and start the server again."
    elif variable is not None:
        told = missing(name, variable[0])
    elif "model provider" in message or "Unsupported provider" in message:
        told = f"{cannot}: LangChain knows no provider of this name. Write it as provider:model, such as "
        told += "`openai:gpt-4o-mini`, in HEADWATER_MODEL."
    else:
        told = f"{cannot}. {_LOG}"
    return ModelError(f"{cannot}: {message}", code="model_unavailable", status=503, told=told)


def missing(name: str, variable: str) -> str:
    """What to do about a model whose key is not set."""
    where = "in the environment or in `.env`, and start the server again"
    return f"the model {name} cannot be used: {variable} is not set. Set it {where}."


_PACKAGE = re.compile(r"pip install (?:-\S+ )*[\"']?([\w.-]*\w(?:\[[\w,-]+\])?)")
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*_(?:KEY|TOKEN|SECRET|PROJECT|ENDPOINT|REGION)\b")
_LOG = "The server's log says why."
_SOON = "Try again in a moment."


def _by_status(status: int, message: str, chain: list[BaseException]) -> ModelError:
    """The `ModelError` for an HTTP error of the provider."""
    wait = next((found for cause in chain if (found := _retry_after(cause)) is not None), None)

    def error(code: str, ours: int, meaning: str, todo: str, *, retryable: bool = False) -> ModelError:
        text, told = f"{meaning} ({status}): {message}", f"{meaning}. {todo}"
        return ModelError(text, code=code, status=ours, retryable=retryable, retry_after=wait, told=told)

    if status in (401, 402, 403):
        # 502, not 401: the provider refused this server's key or account, not the caller's.
        todo = f"Check the key and the account that the server was started with. {_LOG}"
        return error("provider_auth", 502, "the provider does not accept this server's credentials", todo)
    if status == 429:
        # An exhausted account is a 429 too, and waiting does not fill it.
        bodies: list[Any] = [getattr(cause, "body", None) for cause in chain]
        kinds = [cast("Mapping[str, Any]", body).get("type") for body in bodies if isinstance(body, Mapping)]
        spent = "insufficient_quota" in message or "insufficient_quota" in kinds
        todo = "The account has no quota left, and waiting does not fill it." if spent else _SOON
        return error("rate_limited", 429, "the provider limits this server's rate", todo, retryable=not spent)
    says = f'It says: "{message.removesuffix(".")}".' if _presentable(message, chain) else ""
    if status in (400, 413, 422) and (status == 413 or _is_context_length(message, chain)):
        todo = says or "Shorten it, or begin a new conversation."
        return error("context_length", 413, "the prompt is too long for the model", todo)
    if status == 404:
        todo = f"Check the model's name, and the address that the server was given. {_LOG}"
        return error("provider_not_found", 502, "the provider does not know this model or address", todo)
    if status in (400, 422):
        return error("provider_refused", 422, "the provider refused the request", says or f"Change it. {_LOG}")
    if status in (408, 504):
        return error("provider_timeout", 504, "the provider took too long", _SOON, retryable=True)
    if status >= 500 or status in (409, 425):
        return error("provider_error", 502, "the provider failed", f"{_SOON} {_LOG}", retryable=True)
    return error("provider_refused", 502, "the provider refused the request", says or f"Change it. {_LOG}")


def _by_kind(message: str, chain: list[BaseException], answering: bool) -> ModelError:
    """The `ModelError` for a failure without an HTTP status."""

    def error(meaning: str, todo: str, code: str, status: int = 502, *, retryable: bool = False) -> ModelError:
        told = f"{meaning}. {todo}"
        return ModelError(f"{meaning}: {message}", code=code, status=status, retryable=retryable, told=told)

    if _is_context_length(message, chain):
        todo = "Shorten it, or begin a new conversation."
        return error("the prompt is too long for the model", todo, "context_length", 413)
    if any(isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__ for cause in chain):
        return error("the provider took too long", _SOON, "provider_timeout", 504, retryable=True)
    if any(isinstance(cause, json.JSONDecodeError | UnicodeDecodeError) for cause in chain):
        return error("the provider's stream cannot be read", f"{_SOON} {_LOG}", "provider_garbled")
    if any(_is_broken_connection(cause) for cause in chain):
        # A provider that accepted the connection and then broke it was reachable, also before its first token.
        if answering or any(type(cause).__name__ in _CUT for cause in chain):
            return error("the provider's connection broke off", _SOON, "provider_cut", retryable=True)
        return error("the provider cannot be reached", f"{_SOON} {_LOG}", "provider_unreachable", retryable=True)
    if any(isinstance(cause, TypeError) and "unexpected keyword argument" in str(cause) for cause in chain):
        # This provider's client does not know a parameter of the request; the caller can leave it out.
        name = re.search(r"argument '(\w{1,60})'", message)
        todo = f"Leave out {name[1]}." if name else _LOG
        return error("the model does not take this parameter", todo, "provider_refused", 422)
    if any(isinstance(getattr(cause, "body", None), Mapping) for cause in chain):
        # `data: {"error": …}` in an answer that began with 200.
        return error("the provider failed", f"{_SOON} {_LOG}", "provider_error", retryable=True)
    text = f"the model failed: {type(chain[0]).__name__}: {message}"
    key = "Its key may be missing: set it in the environment or in `.env`. " if "api_key" in message else ""
    return ModelError(text, code="provider_error", told=f"The model failed. {key}{_LOG}")


# Addresses, paths, markup, objects and exceptions' names: no words for the caller.
_INTERNAL = re.compile(
    r"[<>{}\\]|\[(?!hidden\])|\d+\.\d+\.\d+\.\d+|://|localhost|::|(?<![\w/])/\w+/|\w(?:Error|Exception)\b|Traceback"
)


def _presentable(message: str, chain: list[BaseException]) -> bool:
    """Whether the message is the provider's own words for the caller, and not a page or a library's exception."""
    return any(isinstance(getattr(cause, "body", None), Mapping) for cause in chain) and not _INTERNAL.search(message)


_BROKEN = {"APIConnectionError", "ConnectError", "ClientConnectionError", "TransportError", "EndpointConnectionError"}
_CUT = {
    *("RemoteProtocolError", "ReadError", "WriteError"),
    *("ServerDisconnectedError", "ClientPayloadError", "ClientOSError"),
}
_CONTEXT = re.compile(
    r"context[_ ](?:length|window|size)|prompt is too long|too many tokens|ContextWindowExceeded", re.IGNORECASE
)


def _is_broken_connection(cause: BaseException) -> bool:
    return isinstance(cause, OSError) or any(base.__name__ in _BROKEN | _CUT for base in type(cause).__mro__)


def _is_context_length(message: str, chain: list[BaseException]) -> bool:
    return bool(_CONTEXT.search(message)) or any("ContextOverflow" in type(cause).__name__ for cause in chain)


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """The exception and its causes, outermost first; of a group only the first member."""
    seen: set[int] = set()
    cause: BaseException | None = failure
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            cause = cast("BaseExceptionGroup[BaseException]", cause).exceptions[0]
        else:
            cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _message(chain: list[BaseException]) -> str:
    """The message in the provider's response, if an exception has that, else the exception's own."""
    for cause in chain:
        body: Any = getattr(cause, "body", None)
        if isinstance(body, Mapping):
            inner: Any = body.get("error", body)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            if isinstance(inner, Mapping):
                fields = cast("Mapping[str, Any]", inner)
                texts = [_text(fields[name]) for name in ("message", "detail", "code") if fields.get(name)]
                if texts:
                    return " / ".join(dict.fromkeys(texts))
            elif isinstance(inner, str) and inner:
                return inner
        elif isinstance(body, str) and body:
            return body  # a page, for example, which the exception's own text leaves out
    return next((text for cause in chain if (text := str(cause))), type(chain[0]).__name__)


def _text(value: object) -> str:
    """A provider's words; JSON where they are no text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)


def _status(cause: BaseException) -> int | None:
    """An exception's HTTP status, under any of the names that libraries use."""
    response: Any = getattr(cause, "response", None)
    body: Any = getattr(cause, "body", None)
    inside = _status_inside(cast("Mapping[str, Any]", body)) if isinstance(body, Mapping) else None
    for found in (getattr(cause, "status_code", None), getattr(response, "status_code", None), inside):
        if isinstance(found, int) and 400 <= found <= 599:
            return found
    return None


def _status_inside(body: Mapping[str, Any]) -> int | None:
    """The status that an error in a stream, after a 200, would have had: OpenRouter's is a number in `code`."""
    for name in ("code", "status", "type"):
        value = body.get(name)
        if isinstance(value, str):
            value = _STATUSES.get(value) or (int(value) if value.isascii() and value.isdigit() else None)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return None


_STATUSES = {
    **dict.fromkeys(("insufficient_quota", "rate_limit_exceeded", "rate_limit_error", "rate_limit"), 429),
    **dict.fromkeys(("invalid_api_key", "authentication_error", "account_deactivated"), 401),
    **dict.fromkeys(("permission_denied", "permission_error"), 403),
    **dict.fromkeys(("billing_hard_limit_reached", "billing_not_active", "insufficient_credits"), 402),
    **dict.fromkeys(("model_not_found", "not_found_error"), 404),
    **dict.fromkeys(("context_length_exceeded", "invalid_request_error", "content_policy_violation"), 400),
    **dict.fromkeys(("server_error", "api_error", "overloaded_error", "engine_overloaded"), 503),
}
"""What OpenAI and others call their errors, and the status that each has where it can have one."""


def _retry_after(cause: BaseException) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `Retry-After` (seconds, or an HTTP date)."""
    headers: Any = getattr(getattr(cause, "response", None), "headers", None)
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
        # HTTP dates are GMT; a date with "-0000" is parsed without a time zone.
        date = date if date.tzinfo else date.replace(tzinfo=datetime.UTC)
        seconds = (date - datetime.datetime.now(datetime.UTC)).total_seconds()
    return None if seconds is None else min(max(seconds, 0.0), _MAX_RETRY_AFTER)


def _number(written: object) -> float | None:
    try:
        value = float(cast("str", written))
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
