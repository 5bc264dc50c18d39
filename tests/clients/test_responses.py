"""OpenAI's own clients, the Agents SDK and LangChain on the Responses API, cut and continued by the clients' means."""

from pathlib import Path

import pytest
from clients.conftest import node, offering, python
from servers import Serving
from upstream import Upstream

TEXT = "Hello, world"


@pytest.mark.parametrize(
    ("scenario", "seen"),
    [
        ("live", {"whole": TEXT, "streamed": TEXT, "status": "completed"}),
        ("cut", {"dense": True, "text": TEXT, "polled": TEXT}),
        ("turns", {"second": TEXT, "previous": True}),
        ("frameworks", {"agents": TEXT, "langchain": TEXT}),
    ],
)
async def test_openais_python_client_and_frameworks(url: str, scenario: str, seen: dict[str, object]) -> None:
    """Whole, streamed, continued after a cut, and turn by turn."""
    assert await python("responses_python.py", url, scenario) == seen


async def test_the_background_is_left_and_ended(url: str, upstream: Upstream) -> None:
    """An answer at once, an end from elsewhere, and nothing to be found afterwards."""
    upstream.silent_after = 1
    told = await python("responses_python.py", url, "background")

    assert told == {"queued": "queued", "cancelled": "cancelled", "gone": "response_not_found"}


async def test_a_failure_in_the_middle_is_a_failed_response_with_the_part(url: str, upstream: Upstream) -> None:
    """It never looks whole."""
    upstream.cut_after = 2
    assert await python("responses_python.py", url, "failed") == {"last": "response.failed", "kept": "Hello, "}


async def test_a_stream_goes_on_at_another_server(server: Serving, upstream: Upstream, tmp_path: Path) -> None:
    """Both share a file of logs; the count of events is the same at both."""
    url = str(server.client.base_url).rstrip("/")
    async with offering(tmp_path, upstream) as other:
        told = await python("responses_python.py", url, "cut", str(other.client.base_url).rstrip("/"))

    assert told == {"dense": True, "text": TEXT, "polled": TEXT}


async def test_openais_node_client(url: str, upstream: Upstream) -> None:
    """Two majors, one call of the model for all."""
    told = await node("responses.mjs", url)

    assert told == {major: {"streamed": TEXT, "resumed": TEXT, "dense": True} for major in ("7", "6")}
    assert upstream.calls == 1
