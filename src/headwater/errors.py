"""One tree of errors; each carries a hint of the HTTP status it deserves, so that one table can answer for all.

A `RequestError` is the caller's fault, a `ModelError` the provider's, a `StoreError` our storage's. Sentences that
several stores need are written once, in class methods that take plain values.
"""

from collections.abc import Mapping
from typing import Self


def sentence(text: str) -> str:
    """The text as a sentence: with a capital letter at its beginning, and a full stop at its end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".")


class HeadwaterError(Exception):
    """Something Headwater can name went wrong; `code` is stable and short.

    The message is for the server's log, and may hold addresses and a library's own words. `told` is for everybody else.
    """

    code = "internal"
    status = 500
    retryable = False
    retry_after: float | None = None
    """Seconds after which a retry may succeed, when somebody said so."""
    fields: Mapping[str, str] = {}
    """Header fields for a response that tells it."""

    @property
    def told(self) -> str:
        """What happened and what to do, as clients and users read it: the message, unless that names internals."""
        return sentence(str(self))


class RequestError(HeadwaterError):
    """The caller asked for something that cannot be done as asked; what nobody catches needs no class of its own."""

    code = "bad_request"
    status = 400

    def __init__(self, message: str, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.code = code or self.code
        self.status = status or self.status


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

    @classmethod
    def of(cls, log: str) -> Self:
        """No log has this id."""
        return cls(f"there is no log {log}; ask again")


class Expired(RequestError):
    """The log existed and is gone, or the offset is of another life of it: nothing can be continued from there."""

    code = "expired"
    status = 410

    @classmethod
    def of(cls, log: str) -> Self:
        """The log has expired or was deleted; its tombstone remains."""
        return cls(f"log {log} has expired or was deleted; ask again")

    @classmethod
    def beyond(cls, offset: object, last: object) -> Self:
        """The log cannot have handed out this offset."""
        return cls(f"offset {offset} is not of this log, which is at {last}; read it again from the beginning")


class Diverged(RequestError):
    """A reader has more of the log than its dead writer had stored, and the log goes on in other words."""

    code = "lost"
    status = 410
    retryable = True

    @classmethod
    def at(cls, seam: object) -> Self:
        """The reader has passed the entry before this seam."""
        return cls(
            f"the server that was writing this answer is gone, and from {seam} on the answer differs from what "
            "arrived; read it again from the beginning"
        )


class Torn(Expired):
    """The store lost a part of the log, or all of it, after it had acknowledged it."""

    @classmethod
    def of(cls, log: str) -> Self:
        """Entries of the log are missing."""
        return cls(f"log {log} has lost entries that the store had taken; ask again")


class NotCached(RequestError):
    """The request said `only-if-cached` and nothing stored answers it (RFC 9111 §5.2.1.7)."""

    code = "not_cached"
    status = 504


class Conflict(RequestError):
    """Somebody else has changed the document meanwhile: read it, and put again."""

    code = "conflict"
    status = 409

    @classmethod
    def of(cls, name: str, wanted: int, current: int) -> Self:
        """The document has another version than the put names."""
        return cls(f"the document {name} has version {current} and not {wanted}; read it and put it again")


class DocumentTooLarge(RequestError):
    """The document is larger than a store keeps."""

    code = "document_too_large"
    status = 413

    @classmethod
    def of(cls, size: int, most: int) -> Self:
        """The value has more bytes than allowed."""
        return cls(f"a document of {size} bytes is too large to be kept; the limit is {most}")


class PromptTooLarge(RequestError):
    """The prompt has more messages, or larger ones, than the operator allows."""

    code = "prompt_too_large"
    status = 413


class OverLimit(RequestError):
    """The caller's tenant has used up what it may use; `fields` are header fields that say when there will be more."""

    code = "rate_limited"
    status = 429

    def __init__(
        self,
        message: str,
        *,
        retry_after: float,
        code: str = "rate_limited",
        retryable: bool = True,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code)
        self.retryable = retryable
        self.retry_after = retry_after
        self.fields = fields or {}


class AtCapacity(HeadwaterError):
    """This process generates as many answers as it may; what is stored or runs already is served."""

    code = "at_capacity"
    status = 503
    retryable = True
    retry_after = 2.0


class Unsupported(HeadwaterError):
    """A setting names something this version does not have."""

    code = "settings"


class ModelError(HeadwaterError):
    """The provider failed; raised by a model, it becomes the `error` event that ends the log.

    `told` is what clients read in place of a message that holds the provider's internals.
    """

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
        told: str | None = None,
    ) -> None:
        super().__init__(message)
        self._told = told
        self.code = code
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after

    @property
    def told(self) -> str:
        return sentence(self._told or str(self))


class CannotContinue(ModelError):
    """A provider does not go on where an answer broke off: it refuses, or it begins anew."""

    def __init__(self, why: str) -> None:
        super().__init__(why, code="cannot_continue")


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

    @property
    def told(self) -> str:
        """One sentence for all: a store's own words name addresses and files."""
        return "The store that keeps the answers does not work now. Try again soon; the server's log says why."

    @classmethod
    def closed(cls) -> Self:
        """The store was closed by this process."""
        return cls("the store was closed")


class Sealed(StoreError):
    """The log has its ending; nothing can be appended to it."""

    code = "sealed"

    @classmethod
    def of(cls, log: str, state: str) -> Self:
        """The log has ended in this state."""
        return cls(f"log {log} is {state}")


class Fenced(StoreError):
    """The lease is of an older epoch: somebody else has sealed or taken the log, and this writer must fall silent."""

    code = "fenced"

    @classmethod
    def of(cls, log: str, epoch: int) -> Self:
        """The log is at another epoch than the lease."""
        return cls(f"log {log} was taken over at epoch {epoch}")


class OutOfSequence(StoreError):
    """An append would leave a gap in the log; a dense sequence is what lets a reader trust its offset."""

    code = "out_of_sequence"

    @classmethod
    def gap(cls, log: str, last: int) -> Self:
        """The entries sent do not follow the last one stored."""
        return cls(f"log {log} holds {last} entries; those sent do not follow them")

    @classmethod
    def taken(cls, log: str, first: int) -> Self:
        """The log holds other entries in the places of those sent, which begin at this sequence."""
        return cls(f"log {log} holds other entries than those sent, from {first} on")


class LogFull(StoreError):
    """The log has reached its bound of entries or bytes; it can take its ending and nothing else."""

    code = "log_limit"

    @classmethod
    def of(cls, log: str, entries: int, size: int) -> Self:
        """The log cannot take more than so many entries, or bytes."""
        return cls(f"log {log} may hold {entries} entries and {size} bytes")
