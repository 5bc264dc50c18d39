"""Why a request is not let in."""

from headwater.errors import HeadwaterError, RequestError


class Unauthorized(RequestError):
    """The request brought no key, or one that is not valid."""

    code = "unauthorized"
    status = 401


class InvalidToken(RequestError):
    """The request brought a JSON Web Token that does not prove who asks."""

    code = "invalid_token"
    status = 401


class NotAllowed(RequestError):
    """A key came that is not for this route."""

    code = "not_allowed"
    status = 403


class KeysUnavailable(HeadwaterError):
    """No published key is known with which a token could be verified."""

    code = "token_keys"
    status = 503
    retryable = True

    @property
    def told(self) -> str:
        """The message without the address, which is in the log."""
        return (
            "The identity provider's public keys cannot be fetched, so no token can be verified. Try again in a moment."
        )
