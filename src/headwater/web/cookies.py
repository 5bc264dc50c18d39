"""Cookies as requests bring them, and whether a new one is for HTTPS only."""

from starlette.datastructures import Headers
from starlette.requests import Request

from headwater.web.hosts import is_loopback, name_of


def cookies(headers: Headers, name: str) -> list[str]:
    """The values of the cookies of this name; there are several where several paths or domains have one."""
    pairs = (pair.strip().partition("=") for line in headers.getlist("cookie") for pair in line.split(";"))
    return [value for each, _, value in pairs if each == name]


def is_secure(request: Request) -> bool:
    """Whether the client sees the server over HTTPS.

    A proxy that ends TLS need not be named for this: the browser says so itself, by its `Origin`, or by a header of
    Fetch Metadata, which it sends over HTTPS and to this machine only.
    """
    headers = request.headers
    if request.url.scheme == "https" or headers.get("origin", "").startswith("https://"):
        return True
    return "sec-fetch-site" in headers and not is_loopback(name_of(headers.get("host", "")) or "localhost")
