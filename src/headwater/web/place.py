"""Where a request came in, and where its log is read: paths as the client sees them."""

from urllib.parse import quote

from starlette.requests import Request

LOGS = "/api/streams"
"""The path of logs, behind whatever prefix an app gives to these routes."""


def place(request: Request) -> str:
    """The request's own path as its client sees it, whatever prefix, mount or proxy lies before these routes."""
    scope = request.scope
    root: str = scope.get("app_root_path", scope.get("root_path", "")).rstrip("/")
    path: str = scope["path"]
    # Servers differ in whether the path that they give begins with the root.
    return quote(path if path.startswith(f"{root}/") else root + path, safe="/~!$&'()*+,;=:@")


def location(request: Request, route: str, message_id: str) -> str:
    """Where the log is read, under the same prefix as the route that was called: an app may have these routes twice.

    `route` is the path under which the route was added, before any prefix.
    """
    prefix = place(request).rsplit("/", route.count("/"))[0]
    return f"{prefix}{LOGS}/{message_id}"
