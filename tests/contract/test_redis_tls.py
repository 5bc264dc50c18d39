"""The Redis store over TLS, with a certificate signed by a private authority."""

import ssl
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from proxy import proxying
from redis_servers import engines, free_port, serving

from headwater.errors import StoreError
from headwater.log.redis.store import RedisStore
from headwater.testing.contract import LIMITS
from headwater.testing.contract_harness import ALICE, BOB, TTL, WHOLE, entry, reading, run, texts, until


class Authority(NamedTuple):
    """A certificate authority, and a server's side of TLS with a certificate that it signed for `localhost`."""

    ca: Path
    tls: ssl.SSLContext


def authority(folder: Path) -> Authority:
    """A new authority, whose own certificate is written into the folder."""
    ours, made = trustme.CA(), Authority(folder / "ca.crt", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    ours.cert_pem.write_to_path(str(made.ca))
    ours.issue_cert("localhost").configure_cert(made.tls)  # pyright: ignore[reportUnknownMemberType]
    return made


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def secured(ours: Authority) -> AsyncGenerator[str, None]:
    """The URL of a Valkey behind TLS. The one that comes as a wheel cannot speak it itself, so a proxy does."""
    port = free_port()
    with serving(engines()[0], port=port):
        async with proxying("127.0.0.1", port, ours.tls) as proxy:
            yield f"rediss://localhost:{proxy.port}"


async def test_a_certificate_of_a_private_authority(secured: str, ours: Authority) -> None:
    """With the authority named in the URL everything works, wake-ups included."""
    url = f"{secured}?ssl_ca_certs={ours.ca}"
    store, peer = RedisStore(url, LIMITS), RedisStore(url, LIMITS)
    try:
        claim = await store.claim("name", "log", ALICE, ttl=TTL)
        assert claim.lease is not None
        stopped: list[bool] = []
        cease = store.listen(claim.lease, lambda: stopped.append(True))
        task, got = await reading(peer, "log")
        await store.append(run("a"), claim.lease)
        await until(lambda: len(got) == 1)
        await peer.stop("log", ALICE.subject)
        await until(lambda: bool(stopped))
        cease()
        await store.seal([entry(2, WHOLE)], claim.lease)
        assert len(await task) == 2
        assert await texts(peer, "log") == ["a"]
        assert (await peer.claim("name", "next", BOB, ttl=TTL)).log == "log"
    finally:
        await store.aclose()
        await peer.aclose()


@pytest.mark.parametrize("known", ["of nobody", "of others"])
async def test_a_certificate_of_an_unknown_authority(secured: str, tmp_path: Path, known: str) -> None:
    """The certificate is refused with an error that says so, and no command is sent."""
    url = secured if known == "of nobody" else f"{secured}?ssl_ca_certs={authority(tmp_path).ca}"
    store = RedisStore(url, LIMITS)
    try:
        with pytest.raises(StoreError, match=r"a certificate that is not trusted here.*certificate verify failed"):
            await store.constant("a", b"b")
    finally:
        await store.aclose()


async def test_a_certificate_of_another_machine(secured: str, ours: Authority) -> None:
    """A certificate that does not name the host of the URL is refused."""
    url = secured.replace("localhost", "127.0.0.1")
    store = RedisStore(f"{url}?ssl_ca_certs={ours.ca}", LIMITS)
    try:
        with pytest.raises(StoreError, match=r"certificate is not valid for '127.0.0.1'"):
            await store.constant("a", b"b")
    finally:
        await store.aclose()


async def test_a_missing_file_of_authorities(secured: str) -> None:
    """A mistyped path is an error; the certificate is not trusted then."""
    store = RedisStore(f"{secured}?ssl_ca_certs=/nowhere/ca.crt", LIMITS)
    try:
        with pytest.raises(StoreError, match="No such file"):
            await store.constant("a", b"b")
    finally:
        await store.aclose()


def test_an_option_that_does_not_exist() -> None:
    """A mistyped option is refused when the store is made."""
    with pytest.raises(StoreError, match=r"the URL of the Redis store cannot be used.*ssl_ca_cert'"):
        RedisStore("rediss://localhost?ssl_ca_cert=/ca.crt", LIMITS)


async def test_a_cluster(ours: Authority) -> None:
    """The options of the URL apply to every server of a cluster, also to those found later."""
    port = free_port()
    async with proxying("127.0.0.1", port, ours.tls) as proxy:
        cluster = f"--cluster-enabled yes --cluster-port {free_port()} --cluster-announce-port {proxy.port}"
        with serving(engines()[0], *cluster.split(), port=port) as server:
            server.command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            store = RedisStore(f"rediss+cluster://localhost:{proxy.port}?ssl_ca_certs={ours.ca}", LIMITS)
            try:
                await until(lambda: server.command("CLUSTER INFO")["cluster_state"] == "ok")
                lease = await store.open("log", ALICE, ttl=TTL)
                task, got = await reading(store, "log")
                await store.append(run("a"), lease)
                await until(lambda: len(got) == 1)
                await store.seal([entry(2, WHOLE)], lease)
                assert len(await task) == 2
            finally:
                await store.aclose()


async def test_a_url_without_tls(secured: str) -> None:
    """A plain connection to a TLS port is an error, and does not hang."""
    store = RedisStore(secured.replace("rediss://", "redis://"), LIMITS)
    try:
        with pytest.raises(StoreError):
            await store.constant("a", b"b")
    finally:
        await store.aclose()
