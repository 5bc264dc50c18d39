"""Types of settings: each reads a text as people write it, and refuses with words that say how to write it. Pure."""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import NoDecode


def fault(setting: str, words: str) -> ValidationError:
    """The error of a setting that no validator sees."""
    found = InitErrorDetails(type=PydanticCustomError("setting", words), loc=(setting,), input=None)  # pyright: ignore[reportArgumentType]
    return ValidationError.from_exception_data("Settings", [found])


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _strip(value: object) -> object:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return (text.strip() or None) if isinstance(text, str) else value


def _key(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not re.fullmatch(r"[!-~]+", value.get_secret_value()):
        raise ValueError("the key has a line break, a blank or another character that no key has; copy it anew")
    return value


def _at_home(value: Path | None) -> Path | None:
    try:
        return value and value.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{value}: there is no such home directory ({error})") from error


def _ways(value: list[str]) -> list[str]:
    if unknown := sorted({*value} - {"reattach", "prefill", "prompt"}):
        raise ValueError(f"{', '.join(unknown)}: a way is reattach, prefill or prompt")
    return value


def _hosts(value: list[str]) -> list[str]:
    for host in value:
        if host != "*" and ("/" in host or _named(host if host.count(":") < 2 or "[" in host else f"[{host}]") is None):
            raise ValueError(f"{host!r} is not a host name; write it as app.example, or * for any")
    return value


def _networks(value: list[str]) -> list[str]:
    try:
        return [str(ip_network(each, strict=False)) for each in value]
    except ValueError as error:
        raise ValueError(f"{error}; write it as 10.0.0.7 or 10.0.0.0/8") from error


def _replay(value: str) -> str:
    if not re.fullmatch("instant|original|[1-9][0-9]{0,3}", value):
        raise ValueError(f"{value!r} is not a pace; write instant, original, or tokens per second, 1 to 9999")
    return value


def _limits(value: object) -> object:
    if not isinstance(value, str):
        return value
    found: dict[str, dict[str, str]] = {}
    for entry in filter(None, map(str.strip, value.split(","))):
        tenant, _, written = entry.rpartition(":")
        pairs = [pair.partition("=") for pair in written.split(";")]
        if not tenant or not all(equals for _, equals, _ in pairs):
            raise ValueError(
                f"{entry!r} is not a tenant's limits; write it as acme:requests_per_minute=60;generations=4"
            )
        found[tenant] = {name.strip(): number.strip() for name, _, number in pairs}
    return found


def _origins(value: list[str]) -> list[str]:
    return [origin if origin in ("*", "null") else _origin(origin) for origin in value]


def _origin(written: str) -> str:
    """Normalise an origin to the form that browsers send, because origins are compared as strings."""
    scheme, found, rest = written.rstrip("/").lower().partition("://")
    if not found or not scheme or set(rest) & set("/?#@ ") or _named(rest) is None:
        raise ValueError(f"{written!r} is not an origin; write it as https://app.example, or * for any")
    default = {"https": ":443", "http": ":80"}.get(scheme, "")
    return f"{scheme}://{rest.removesuffix(default) if default else rest}"


def _named(host: str) -> str | None:
    """The host name without its port; None if there is none."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname if parts.port != 0 else None
    except ValueError:
        return None


Names = Annotated[list[str], NoDecode, BeforeValidator(_split)]
"""Comma-separated names."""
Text = Annotated[str | None, BeforeValidator(_strip)]
"""A text that may have a line break or blanks around it where it came from a file or was copied."""
Secret = Annotated[SecretStr | None, BeforeValidator(_strip)]
"""The same, never shown."""
Key = Annotated[SecretStr | None, AfterValidator(_key), BeforeValidator(_strip)]
"""A key as it stands in a header."""
Folder = Annotated[Path, AfterValidator(_at_home)]
File = Annotated[Path | None, AfterValidator(_at_home), BeforeValidator(_strip)]
Ways = Annotated[Names, AfterValidator(_ways)]
Hosts = Annotated[Names, AfterValidator(_hosts)]
Networks = Annotated[Names, AfterValidator(_networks)]
Limits = Annotated[dict[str, dict[str, float]], NoDecode, BeforeValidator(_limits)]
"""Limits by tenant and name."""
Origins = Annotated[Names, AfterValidator(_origins)]
Replay = Annotated[str, AfterValidator(_replay)]
