"""The servers of a Redis cluster, as its client knows them: those that leave are forgotten."""

from typing import Any, cast

from redis.exceptions import ConnectionError

from headwater.log.redis.batcher import Batcher
from headwater.log.redis.cluster import RedisCluster
from headwater.log.redis.store import RedisStore

SEED = 7000


class Server:
    """A server that lists those that have the slots; once it has left them, it does not answer."""

    def __init__(self, port: int, cluster: list[int]) -> None:
        self.closed = self.busy = False
        self._port, self._cluster = port, cluster

    @property
    def server(self) -> "Server":
        return self

    async def execute_command(self, *_: str) -> list[Any]:
        if self._port not in [SEED, *self._cluster]:
            raise ConnectionError
        return [[8192 * i, 8192 * i + 8191, [b"127.0.0.1", port]] for i, port in enumerate(self._cluster)]

    async def aclose(self) -> None:
        self.closed = True


async def test_a_server_that_has_left_the_cluster_keeps_no_connection() -> None:
    """Once the scripts that it was sent have ended; a server that the URL names may come back."""
    cluster, made = [7001, 7002], dict[int, Server]()

    def make(url: str) -> Batcher:
        port = int(url.rpartition(":")[2])
        made[port] = Server(port, cluster)
        return cast("Batcher", made[port])

    servers = RedisCluster(f"redis+cluster://:pass@127.0.0.1:{SEED}", make, 1.0)
    await servers.any()
    for port in cluster:
        servers._node(("127.0.0.1", port))  # pyright: ignore[reportPrivateUsage]
    made[7002].busy = True
    cluster[:] = [7003, 7004]
    await servers.any()
    assert [port for port, server in made.items() if server.closed] == [7001]
    made[7002].busy = False
    await servers.any()
    assert [port for port, server in made.items() if server.closed] == [7001, 7002]


def test_a_password_with_braces() -> None:
    """It is no template."""
    RedisStore("redis+cluster://:p{a}{}ss@127.0.0.1:7000")
