"""A small page of the server's own, for people whom the chat page cannot reach: a refusal, the login box.

It needs no script and no other file; its policy allows the style that is in it, by its hash, and nothing else.
"""

import base64
import hashlib
from html import escape
from pathlib import Path
from string import Template

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse

from headwater.web.accept import preferred

_PAGE = Path(__file__).with_suffix(".html").read_text("utf-8")
_STYLE = _PAGE.partition("<style>")[2].partition("</style>")[0]
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def notice(title: str, body: str, status: int = 200) -> HTMLResponse:
    """The page, with a title and a body of HTML in which every value has passed through `escape`."""
    return HTMLResponse(Template(_PAGE).substitute(title=escape(title), body=body), status, _HEADERS)


def wants_page(headers: Headers) -> bool:
    """Whether a request comes from a person's browser, which shows its response, and not from a program."""
    shown = headers.get("sec-fetch-mode", "navigate") == "navigate"
    return shown and preferred(headers.get("accept", ""), "application/json", "text/html") == "text/html"
