"""The check of `headwater doctor --url`: whether everything in front of a running server lets it stream."""

import time
from collections.abc import AsyncGenerator, Iterator

import httpx

from headwater.web.routes.native import START
from headwater.wiring.doctor import Finding

TICK = 0.2
"""Seconds between the five events of the minimal stream."""


async def probe(url: str, key: str | None) -> AsyncGenerator[Finding]:
    """Read the minimal stream of a server through everything in front of it, and time its events."""
    url = url.rstrip("/")
    headers = {"Accept": "text/event-stream", "Accept-Encoding": "gzip, br, zstd"}
    headers |= {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx.AsyncClient(headers=headers, timeout=30, follow_redirects=True) as client:
            ready = await client.get(f"{url}/readyz")
            if not ready.is_success and ready.status_code != 404:  # an app that includes our routes has none
                yield Finding("fault", "server", f"{url}/readyz answers {ready.status_code}: {ready.text[:300]}")
            async with client.stream("GET", f"{url}{START}") as response:
                if response.status_code == 401:
                    yield Finding("fault", "stream", f"{url} needs a key: set HEADWATER_API_KEY")
                elif not response.headers.get("content-type", "").startswith("text/event-stream"):
                    words = f"{url}{START} answers {response.status_code} and no stream; is this a Headwater?"
                    yield Finding("fault", "stream", words)
                else:
                    times = [time.monotonic() async for piece in response.aiter_raw() if piece]
                    for finding in _judged(response.headers, times):
                        yield finding
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield Finding("fault", "server", f"{url} cannot be read: {error}")


def _judged(headers: httpx.Headers, times: list[float]) -> Iterator[Finding]:
    coding = headers.get("content-encoding", "identity")
    if coding != "identity":
        yield Finding("fault", "compression", f"a proxy compresses streams ({coding}); leave text/event-stream out")
    spread = times[-1] - times[0] if times else 0.0
    if len(times) < 4 or spread < 2 * TICK:
        held = f"five events of one second came in {len(times)} pieces, {spread:.2f} s apart: a proxy buffers them"
        yield Finding("fault", "buffering", f"{held}; docs/deploy.md says how to turn that off")
    else:
        yield Finding("ok", "buffering", f"none: {len(times)} pieces arrived over {spread:.2f} s")
    if "no-transform" not in headers.get("cache-control", ""):
        words = "a proxy removed Cache-Control: no-transform; another proxy may now buffer or compress"
        yield Finding("warning", "headers", words)
    if "x-accel-buffering" not in headers:
        words = "X-Accel-Buffering did not arrive; nginx removes it, so a second nginx in front may buffer"
        yield Finding("ok" if len(times) >= 4 else "warning", "headers", words)
