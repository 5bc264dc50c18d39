"""Keys as an operator uses them: made, listed and revoked while servers run, and written down nowhere."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import Serving, command, serve, workers
from serving import chat, parse, post_chat, text_of, until
from upstream import Upstream

KEY = re.compile(r"hw_[0-9a-f]{8}_[0-9a-f]{64}")
ECHO = {"HEADWATER_MODEL": "echo"}


def headwater(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `headwater` on the data in a folder until it exits."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWATER_", "OPENAI_"))}
    environment = {**clean, "HEADWATER_DATA_DIR": str(folder), **settings}
    run = [sys.executable, "-m", "headwater", *arguments]
    return subprocess.run(run, cwd=folder, env=environment, capture_output=True, text=True, timeout=30, check=False)


def create(folder: Path, *arguments: str) -> str:
    """Make a key; returns it."""
    made = headwater(folder, "keys", "create", *arguments)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def bearer(key: str) -> dict[str, str]:
    """The header that brings a key."""
    return {"authorization": f"Bearer {key}"}


def test_a_key_is_printed_once_and_known_by_its_id(tmp_path: Path) -> None:
    """Only the key goes to standard output, so that a script can take it from there."""
    made = headwater(tmp_path, "keys", "create", "--tenant", "acme", "--label", "Ann's laptop")
    id = made.stdout.split("_")[1]
    listed = headwater(tmp_path, "keys", "list")
    unknown = headwater(tmp_path, "keys", "revoke", "nobody")
    revoked = headwater(tmp_path, "keys", "revoke", id)
    empty = headwater(tmp_path, "keys", "list")

    assert KEY.fullmatch(made.stdout.removesuffix("\n"))
    assert id in made.stderr
    assert not KEY.search(made.stderr + listed.stdout + listed.stderr + (tmp_path / "keys.json").read_text())
    assert listed.stdout.split("\t")[:2] == [id, "acme"]
    assert listed.stdout.endswith("\tAnn's laptop\n")
    assert (unknown.returncode, revoked.returncode) == (1, 0)
    assert "headwater keys list" in unknown.stderr
    assert (empty.stdout, "headwater keys create" in empty.stderr) == ("", True)


async def test_keys_that_are_made_at_once_are_all_kept(tmp_path: Path) -> None:
    """Each command rewrites the file."""
    made = await asyncio.gather(*(asyncio.to_thread(create, tmp_path) for _ in range(4)))

    listed = headwater(tmp_path, "keys", "list").stdout.splitlines()
    assert sorted(line.split("\t")[0] for line in listed) == sorted(key.split("_")[1] for key in made)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["keys", "create", "--tenant", "a b"], "not a tenant's name"),
        (["serve", "--host", "0.0.0.0"], "headwater keys create"),
        (["serve", "--set", "api_keys=acme:secret-word"], "ps"),
        (["serve", "--set", "proxies=my-proxy"], "my-proxy"),
        (["keys", "list"], "damaged"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_named_without_a_traceback(arguments: list[str], words: str, tmp_path: Path) -> None:
    """And no server starts."""
    if words == "damaged":
        (tmp_path / "keys.json").write_text("[]")
    ended = headwater(tmp_path, *arguments, **ECHO)
    assert ended.returncode in (1, 2)
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "secret-word" not in ended.stderr


async def test_a_server_on_every_address_says_where_it_is_and_is_reached_there(tmp_path: Path) -> None:
    """Without a key only because it was told so."""
    open_ = {"HEADWATER_HOST": "0.0.0.0", "HEADWATER_INSECURE": "true"}
    async with serve(tmp_path, **ECHO, **open_) as server:
        said = [line for line in server.said.splitlines() if "http://" in line]
        answers = [await post_chat(server.client, host=host) for host in ("192.168.7.7:80", socket.gethostname())]
        rebound = await post_chat(server.client, host="evil.example")

    assert "http://127.0.0.1:" in said[0]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert rebound.status_code == 403


async def everywhere(server: Serving, headers: dict[str, str]) -> set[int]:
    """What several new connections get, which the workers share."""

    async def ask() -> int:
        async with httpx.AsyncClient(base_url=server.client.base_url, timeout=30) as client:
            return (await client.get("/api/about", headers=headers)).status_code

    return set(await asyncio.gather(*(ask() for _ in range(8))))


async def soon(server: Serving, headers: dict[str, str], status: int) -> None:
    """Wait, for the second that is promised, until every worker answers these headers like this."""
    async with asyncio.timeout(2):
        while await everywhere(server, headers) != {status}:
            await asyncio.sleep(0.05)


async def test_a_key_acts_and_ends_in_every_worker_within_a_second(tmp_path: Path) -> None:
    """A server that listens everywhere starts with one key; another one needs no restart. Without one it is closed."""
    first = create(tmp_path)
    async with serve(tmp_path, **ECHO, HEADWATER_HOST="0.0.0.0", HEADWATER_WORKERS="2") as server:
        assert await everywhere(server, bearer(first)) == {200}
        second = await asyncio.to_thread(create, tmp_path, "--tenant", "other")
        await soon(server, bearer(second), 200)
        entered = await server.client.post("/login", data={"key": second})
        session = {"cookie": entered.headers["set-cookie"].partition(";")[0]}
        assert await everywhere(server, session) == {200}
        for key in (first, second):
            await asyncio.to_thread(headwater, tmp_path, "keys", "revoke", key.split("_")[1])
        for headers in (bearer(first), bearer(second), session):
            await soon(server, headers, 401)
        os.kill(workers(server)[0], signal.SIGKILL)
        await soon(server, {}, 401)


async def test_two_tenants_with_one_question_call_the_model_twice(tmp_path: Path) -> None:
    """Each has an answer of its own, running and stored, and can do nothing to the other's."""
    ann, bob, eve = create(tmp_path), create(tmp_path), create(tmp_path, "--tenant", "other")
    async with Upstream(tokens=["a", "b"], gated=True) as upstream:
        provider = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url}
        async with serve(tmp_path, **provider) as server:
            asking = [
                asyncio.create_task(post_chat(server.client, "the same", **bearer(key))) for key in (ann, bob, eve)
            ]
            await until(lambda: upstream.calls == 2, "both tenants' models are asked")
            upstream.release(4)
            of_ann, of_bob, of_eve = await asyncio.gather(*asking)
            foreign = [
                await server.client.request(method, f"{of_ann.headers['location']}{path}", headers=bearer(eve))
                for method, path in (("GET", ""), ("POST", "/stop"), ("DELETE", ""))
            ]
            again = await post_chat(server.client, "the same", **bearer(eve))
            kept = await server.client.get(of_ann.headers["location"], headers=bearer(bob))

    assert upstream.calls == 2
    assert {text_of(parse(each.content)) for each in (of_ann, of_bob, of_eve, again, kept)} == {"ab"}
    assert [each.status_code for each in foreign] == [404, 404, 404]
    assert again.headers["cache-status"].startswith("headwater; hit")


@pytest.mark.parametrize("proxies", ["127.0.0.1", ""])
async def test_uvicorns_own_variable_names_no_proxy(proxies: str, tmp_path: Path) -> None:
    """It is set on some hosts for every program, and would let each client claim what it likes."""
    key = create(tmp_path)
    settings = {**ECHO, "FORWARDED_ALLOW_IPS": "*", "HEADWATER_PROXIES": proxies}
    async with serve(tmp_path, **settings) as server:
        forged = {"x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.1"}
        entered = await server.client.post("/login", data={"key": key}, headers=forged)
    assert entered.status_code == 303
    assert ("Secure" in entered.headers["set-cookie"]) == bool(proxies)


def requests(client: httpx.AsyncClient, key: str) -> list[httpx.Request]:
    """Requests of every kind, good and bad, that bring a key rightly or wrongly."""
    brought = [bearer(key), {"x-api-key": key}, bearer(f"{key}x"), {"authorization": f"Digest {key}"}]
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/api/stream/completion/chat", {"json": chat(key[:6])}),
        ("POST", "/api/stream/completion/chat", {"content": b"{"}),
        ("POST", "/api/stream/completion", {"json": {"message": "fail"}}),
        ("GET", "/api/streams/abcdefgh-1", {}),
        ("PUT", "/api/stream", {}),
        ("GET", "/openapi.json", {}),
        ("GET", "/nothing", {}),
    ]
    more = [{}, {"accept": "text/html"}, {"host": "evil.example"}, {"origin": "https://evil.example"}]
    forms: list[dict[str, Any]] = [{"data": {"key": key}}, {"data": {"key": f"{key}x"}}, {"data": {"password": key}}]
    return [
        *(
            client.build_request(method, path, headers={**headers, **extra}, **body)
            for headers in brought
            for extra in more
            for method, path, body in kinds
        ),
        *(client.build_request("POST", "/login", **form) for form in forms),
        client.build_request("GET", "/login"),
    ]


async def test_a_key_is_written_down_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither in a response, a log, a traceback, the store nor a command line, whatever is done with it."""
    made, named = create(tmp_path, "--label", "made"), "env-key-0123456789abcdef"
    (tmp_path / ".env").write_text(f"HEADWATER_API_KEYS=other:{named}\n")
    written: list[str] = []
    async with Upstream(tokens=["a"], gated=True, status=[200, 401, 200]) as upstream:
        upstream.release(1000)
        provider = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url, "HEADWATER_RETRIES": "0"}
        async with serve(tmp_path, **provider, HEADWATER_WORKERS="2") as server:
            written.extend(command(pid).decode() for pid in (server.process.pid, *workers(server)))
            for key in (made, named):
                for request in requests(server.client, key):
                    response = await server.client.send(request)
                    written.append(f"{response.status_code} {response.headers} {response.text}")
            asking = ["-m", "headwater", "ask", "Hi", "--url", str(server.client.base_url)]
            process = await asyncio.create_subprocess_exec(
                sys.executable, *asking, env={**os.environ, "HEADWATER_API_KEY": made}, cwd=tmp_path
            )
            written.append(command(process.pid).decode())
            assert await process.wait() == 0
            await server.kill()
    written.append("".join(capfd.readouterr()))
    files = {name: (Path(folder) / name).read_bytes() for folder, _, names in os.walk(tmp_path) for name in names}
    del files[".env"]

    assert {"200", "303", "400", "401", "403", "404", "405", "502"} <= {each[:3] for each in written}
    assert {"keys.json", "logs.sqlite"} <= set(files)
    for secret in (made.rpartition("_")[2], named):
        assert not [each for each in written if secret in each]
        assert not [name for name, content in files.items() if secret.encode() in content]
