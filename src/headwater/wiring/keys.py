"""How a server knows its callers, from its settings, and whether it may run without any key."""

from headwater.access.forwarded import by_header
from headwater.access.keyfile import KeyFile, Keys
from headwater.access.keys import parse
from headwater.errors import Unsupported
from headwater.settings import Settings
from headwater.web.gate import Ways
from headwater.web.hosts import is_loopback


def key_file(settings: Settings) -> KeyFile:
    """The file of the keys that `headwater keys` makes."""
    return KeyFile(settings.keys_file or settings.data_dir / "keys.json")


def keys_of(settings: Settings) -> Keys:
    """The valid keys, as they change. A key is required where one is set, or was ever made, or a key file is named.

    Raises `Unsupported` for an open server that other machines reach, unless the settings allow that, and for a
    malformed setting; `KeyFileFailed` for a file that cannot be read.
    """
    written = settings.api_keys.get_secret_value() if settings.api_keys else ""
    try:
        fixed = parse(written)
    except ValueError as error:
        raise Unsupported(f"HEADWATER_API_KEYS: {error}") from error
    keys = Keys(fixed, key_file(settings), required=settings.keys_file is not None)
    if not (keys.required or settings.takes_tokens or settings.insecure or is_loopback(settings.host)):
        raise Unsupported(
            f"{settings.host} is open to other machines, and there is no key. Do one of three: make a key (headwater "
            "keys create, or HEADWATER_API_KEYS); listen on this machine only (--host 127.0.0.1); or let everybody in "
            "(--insecure)"
        )
    return keys


def ways_of(settings: Settings) -> Ways:
    """How callers are known beside keys. Raises `Unsupported` for settings that contradict each other."""
    how, tokens, users = settings.forwarded_user, None, None
    if settings.forwarded_user_secret is not None and how != "signed":
        raise Unsupported("HEADWATER_FORWARDED_USER_SECRET is for HEADWATER_FORWARDED_USER=signed")
    if how == "header":
        users = by_header
    if how == "signed" or settings.takes_tokens:
        try:
            from headwater.wiring.tokens import tokens_of, users_of
        except ImportError as error:
            raise Unsupported("tokens need PyJWT; install it with pip install 'headwater[jwt]'") from error
        tokens = tokens_of(settings) if settings.takes_tokens else None
        users = users_of(settings) if how == "signed" else users
    operator = settings.operator_key.get_secret_value() if settings.operator_key else None
    return Ways(operator, is_loopback(settings.host), tokens, users, how == "field")
