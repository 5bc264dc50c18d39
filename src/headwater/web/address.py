"""Whole addresses of this server, as links that a person sends on have them."""

from starlette.requests import Request

from headwater.web.cookies import is_secure
from headwater.web.origin import hosts_of, is_same
from headwater.web.place import place


def mount(request: Request, route: str) -> str:
    """The path under which these routes are reached, ending in `/`; `route` is the path of this one, without it."""
    return place(request).rsplit("/", route.count("/"))[0] + "/"


def address(request: Request, path: str) -> str:
    """The whole address of a path, under the name by which the client reaches the server."""
    origin, hosts = request.headers.get("origin", ""), hosts_of(request.scope, request.headers)
    if not is_same(origin, hosts):
        origin = f"{'https' if is_secure(request) else 'http'}://{hosts[-1]}"
    return origin + path
