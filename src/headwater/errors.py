"""One tree of errors; each carries a hint of the HTTP status it deserves, so that one table can answer for all.

A `RequestError` is the caller's fault, a `ModelError` the provider's, a `StoreError` our storage's.
"""


class HeadwaterError(Exception):
    """Something Headwater can name went wrong; `code` is stable and short, the message is for people."""

    code = "internal"
    status = 500
    retryable = False
    retry_after: float | None = None
    """Seconds after which a retry may succeed, when somebody said so."""


class RequestError(HeadwaterError):
    """The caller asked for something that cannot be done as asked."""

    code = "bad_request"
    status = 400


class InvalidPrompt(RequestError):
    """The prompt is well-formed JSON but not a prompt: no messages, an unknown role, a value out of range."""

    code = "invalid_prompt"
    status = 422


class UnknownModel(RequestError):
    """The request names a model that the operator does not offer."""

    code = "unknown_model"
    status = 404


class NoSuchLog(RequestError):
    """No log has this id, or it belongs to another tenant: the two look the same on purpose."""

    code = "no_such_log"
    status = 404


class Expired(RequestError):
    """The log existed and is gone, or the offset is of another life of it: nothing can be continued from there."""

    code = "expired"
    status = 410


class NotCached(RequestError):
    """The request said `only-if-cached` and nothing stored answers it (RFC 9111 §5.2.1.7)."""

    code = "not_cached"
    status = 504


class Unsupported(HeadwaterError):
    """A setting names something this version does not have."""

    code = "settings"


class ModelError(HeadwaterError):
    """The provider failed; raised by a model, it becomes the `error` event that ends the log."""

    code = "model"
    status = 502

    def __init__(
        self,
        message: str,
        *,
        code: str = "model",
        status: int = 502,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after


class ShuttingDown(HeadwaterError):
    """This server takes no new work any more; another one, or the same a moment later, will."""

    code = "shutdown"
    status = 503
    retryable = True
    retry_after = 2.0


class StoreError(HeadwaterError):
    """The store could not do what its contract says; never to be mistaken for an empty cache."""

    code = "store"
    status = 503
    retryable = True


class Sealed(StoreError):
    """The log has its ending; nothing can be appended to it."""

    code = "sealed"


class Fenced(StoreError):
    """The lease is of an older epoch: somebody else has sealed or taken the log, and this writer must fall silent."""

    code = "fenced"


class OutOfSequence(StoreError):
    """An append would leave a gap in the log; a dense sequence is what lets a reader trust its offset."""

    code = "out_of_sequence"


class LogFull(StoreError):
    """The log has reached its bound of entries or bytes; it can take its ending and nothing else."""

    code = "log_limit"
