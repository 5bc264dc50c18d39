"""The keys of a server from its settings, and whether it may run without any."""

from headwater.access.keyfile import KeyFile, Keys
from headwater.access.keys import parse
from headwater.errors import Unsupported
from headwater.settings import Settings
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
    if not (keys.required or settings.insecure or is_loopback(settings.host)):
        raise Unsupported(
            f"{settings.host} is open to other machines, and there is no key. Do one of three: make a key (headwater "
            "keys create, or HEADWATER_API_KEYS); listen on this machine only (--host 127.0.0.1); or let everybody in "
            "(--insecure)"
        )
    return keys
