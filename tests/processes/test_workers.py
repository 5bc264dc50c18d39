"""Several workers on one port, and servers that are replaced while they serve."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
from servers import Serving, serve, workers
from serving import chat, frames, parse, post_chat, text_of, until
from upstream import Upstream

FAILING = """
import socket, sys
from headwater.cli.supervisor import Supervisor
from headwater.settings import Settings

with socket.create_server(("127.0.0.1", 0)) as listening:
    sys.exit(Supervisor(Settings(workers=2, webhook="https://hooks.example/"), listening).run())
"""
"""A server whose workers lack a setting."""


def settings(upstream: Upstream, river: dict[str, str], **more: str) -> dict[str, str]:
    """An OpenAI-compatible provider, and the store that the test's servers share."""
    return {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url, **river, **more}


def alive(pid: int) -> bool:
    """Whether a process is running."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def test_workers_share_their_logs_and_replace_the_dead(tmp_path: Path, river: dict[str, str]) -> None:
    """Duplicate requests collapse across workers, and a worker that dies is restarted."""
    async with Upstream(tokens=["a", "b", "c"], gated=True) as upstream:
        async with serve(tmp_path, **settings(upstream, river, HEADWATER_WORKERS="2")) as server:
            first = workers(server)
            assert len(first) == 2
            asking = [asyncio.create_task(_fresh_connection(server)) for _ in range(20)]
            await upstream.received()
            upstream.release(3)
            answers = await asyncio.gather(*asking)
            assert {text_of(parse(answer.content)) for answer in answers} == {"abc"}
            assert upstream.calls == 1

            os.kill(first[0], signal.SIGKILL)
            await until(lambda: len(set(workers(server)) - {first[0]}) == 2, "another worker was started", 15)
            again = await _fresh_connection(server)
            assert again.headers["cache-status"].startswith("headwater; hit")
    assert not any(alive(pid) for pid in first)


async def test_workers_end_with_a_supervisor_that_was_killed(tmp_path: Path, river: dict[str, str]) -> None:
    """No orphan keeps the port."""
    async with Upstream() as upstream:
        async with serve(tmp_path, **settings(upstream, river, HEADWATER_WORKERS="2")) as server:
            orphans = workers(server)
            await server.kill()
            await until(lambda: not any(map(alive, orphans)), "the workers ended", 15)


def test_workers_that_never_serve_end_the_server(tmp_path: Path) -> None:
    """However long each takes to fail: it is not restarted for ever."""
    ran = subprocess.run([sys.executable, "-c", FAILING], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert ran.stderr.count(b"starting another") < 6


async def test_a_draining_server_finishes_its_answers_and_refuses_new_requests(
    tmp_path: Path, river: dict[str, str]
) -> None:
    """`/readyz` fails meanwhile, and the process then exits."""
    async with Upstream(tokens=["a", "b"], gated=True) as upstream:
        async with serve(tmp_path, **settings(upstream, river, HEADWATER_DRAIN="20")) as server:
            async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
                read = frames(response)
                upstream.release()
                assert [(await anext(read))["type"] for _ in range(2)] == ["start", "text-delta"]

                server.process.terminate()

                ready = await server.client.get("/readyz")
                while ready.status_code == 200:
                    ready = await server.client.get("/readyz")
                refused = await post_chat(server.client, "something new")
                upstream.release()
                rest = [frame async for frame in read]
            async with asyncio.timeout(5):
                await server.process.wait()

    assert ready.status_code == 503
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "shutdown", "2")
    assert [frame["type"] for frame in rest] == ["text-delta", "finish"]
    assert upstream.calls == 1


async def test_readers_of_a_draining_server_go_on_at_another_one(tmp_path: Path, river: dict[str, str]) -> None:
    """The stream closes without an ending, so the client resumes elsewhere and loses no token."""
    async with Upstream(tokens=["a", "b"], gated=True) as upstream:
        async with (
            serve(tmp_path, **settings(upstream, river)) as writer,
            serve(tmp_path, **settings(upstream, river)) as leaving,
        ):
            asking = asyncio.create_task(post_chat(writer.client))
            await upstream.received()
            upstream.release()
            async with leaving.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
                location = response.headers["location"]
                read = frames(response)
                seen = [await anext(read), await anext(read)]
                leaving.process.terminate()
                seen += [frame async for frame in read]
            assert [frame["type"] for frame in seen] == ["start", "text-delta"]
            upstream.release()
            rest = await writer.client.get(location, headers={"last-event-id": seen[-1].id or ""})
            await asking

    assert text_of([*seen, *parse(rest.content)]) == "ab"
    assert upstream.calls == 1


async def _fresh_connection(server: Serving) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.client.base_url, timeout=30) as client:
        return await post_chat(client)


async def test_one_scrape_shows_all_workers_and_a_dead_ones_counts_but_not_its_gauges(tmp_path: Path) -> None:
    """Counters never fall, whichever worker a scrape meets; what ran in the dead worker runs no more."""
    async with Upstream(tokens=["a", "b"], gated=True) as upstream:
        store = {"HEADWATER_STORE": f"sqlite://{tmp_path}/logs.sqlite", "HEADWATER_CONTINUE": "provider"}
        async with serve(tmp_path, **settings(upstream, store, HEADWATER_WORKERS="2")) as server:
            asking = [asyncio.create_task(_left(server, f"question {number}")) for number in range(6)]
            await until(lambda: upstream.calls == 6, "all are asked", 15)
            await _counts(server, "headwater_generations_running", 6)
            await _counts(server, "headwater_requests_total", 6)
            before = workers(server)

            os.kill(before[0], signal.SIGKILL)
            await until(lambda: len(set(workers(server)) - {before[0]}) == 2, "another worker was started", 15)
            assert await _count(server, "headwater_generations_running") <= 6  # the kernel deals out connections
            assert await _count(server, "headwater_requests_total") >= 6

            os.kill(before[1], signal.SIGKILL)
            await until(lambda: not {*workers(server)} & {*before}, "both were replaced", 15)
            assert await _count(server, "headwater_requests_total") >= 6
            assert await _count(server, "headwater_generations_running") == 0
            await asyncio.gather(*asking)


async def _counts(server: Serving, name: str, expected: float) -> None:
    async with asyncio.timeout(15):
        while await _count(server, name) != expected:
            await asyncio.sleep(0.05)


async def _count(server: Serving, name: str) -> float:
    """The sum of a metric's samples, over a connection of its own, so that any worker may answer."""
    async with httpx.AsyncClient(base_url=server.client.base_url, timeout=20) as client:
        text = ""
        while not text:
            with suppress(httpx.TransportError):  # the worker that had accepted it was killed
                text = (await client.get("/metrics")).raise_for_status().text
    return sum(
        float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))
    )


async def _left(server: Serving, question: str) -> None:
    """Ask, and bear that the worker dies."""
    with suppress(httpx.TransportError):
        async with httpx.AsyncClient(base_url=server.client.base_url, timeout=20) as client:
            await post_chat(client, question)
