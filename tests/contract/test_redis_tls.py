"""The Redis store over TLS, with a certificate signed by a private authority."""

import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import pytest
from redis_servers import Engine, Server, engines, free_port, serving

from headwater.errors import StoreError
from headwater.log.redis.store import RedisStore
from headwater.testing.contract import LIMITS
from headwater.testing.contract_harness import ALICE, BOB, TTL, WHOLE, entry, reading, run, texts, until


class Authority(NamedTuple):
    """A certificate authority, and a certificate that it signed for this machine."""

    ca: Path
    certificate: Path
    key: Path


def authority(folder: Path) -> Authority:
    """Make an authority with the `openssl` that is installed."""
    folder.mkdir()
    made = Authority(*(folder / name for name in ("ca.crt", "server.crt", "server.key")))
    own = folder / "ca.key"
    names = folder / "names"
    names.write_text("subjectAltName=DNS:localhost\n")
    for line in (
        f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=Ours -keyout {own} -out {made.ca}"
        " -addext keyUsage=critical,keyCertSign",
        f"req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout {made.key} -out {folder}/request",
        f"x509 -req -in {folder}/request -CA {made.ca} -CAkey {own} -CAcreateserial -days 2 -extfile {names}"
        f" -out {made.certificate}",
    ):
        subprocess.run(["openssl", *line.split()], check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    return authority(tmp_path_factory.mktemp("tls") / "ours")


def _speaks_tls(engine: Engine) -> bool:
    # An engine built without TLS calls nothing of OpenSSL, although it may know the options.
    return b"SSL_CTX_new" in Path(engine.path).read_bytes()


def _options(made: Authority, port: int) -> list[str]:
    where = f"--bind 127.0.0.1 --tls-port {port} --tls-auth-clients no"
    files = ("--tls-cert-file", str(made.certificate), "--tls-key-file", str(made.key))
    return [*where.split(), *files, "--tls-ca-cert-file", str(made.ca)]


class Secured(NamedTuple):
    """A server that speaks TLS, and its URL."""

    server: Server
    url: str


@pytest.fixture(scope="module")
def secured(ours: Authority) -> Generator[Secured, None, None]:
    engine = next((each for each in engines() if _speaks_tls(each)), None)
    if engine is None:
        pytest.skip("no engine here speaks TLS")
    port = free_port()
    with serving(engine, *_options(ours, port)) as server:
        yield Secured(server, f"rediss://localhost:{port}")


async def test_a_certificate_of_a_private_authority(secured: Secured, ours: Authority) -> None:
    """With the authority named in the URL everything works, wake-ups included."""
    url = f"{secured.url}?ssl_ca_certs={ours.ca}"
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
async def test_a_certificate_of_an_unknown_authority(secured: Secured, tmp_path: Path, known: str) -> None:
    """The certificate is refused with an error that says so, and no command is sent."""
    url = secured.url if known == "of nobody" else f"{secured.url}?ssl_ca_certs={authority(tmp_path / 'others').ca}"
    store = RedisStore(url, LIMITS)
    try:
        with pytest.raises(StoreError, match=r"a certificate that is not trusted here.*certificate verify failed"):
            await store.constant("a", b"b")
    finally:
        await store.aclose()


async def test_a_certificate_of_another_machine(secured: Secured, ours: Authority) -> None:
    """A certificate that does not name the host of the URL is refused."""
    url = secured.url.replace("localhost", "127.0.0.1")
    store = RedisStore(f"{url}?ssl_ca_certs={ours.ca}", LIMITS)
    try:
        with pytest.raises(StoreError, match=r"certificate is not valid for '127.0.0.1'"):
            await store.constant("a", b"b")
    finally:
        await store.aclose()


async def test_a_missing_file_of_authorities(secured: Secured) -> None:
    """A mistyped path is an error; the certificate is not trusted then."""
    store = RedisStore(f"{secured.url}?ssl_ca_certs=/nowhere/ca.crt", LIMITS)
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
    engine = next((each for each in engines() if _speaks_tls(each)), None)
    if engine is None:
        pytest.skip("no engine here speaks TLS")
    port = free_port()
    cluster = f"--cluster-enabled yes --tls-cluster yes --cluster-port {free_port()}"
    with serving(engine, *_options(ours, port), *cluster.split()) as server:
        server.command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        store = RedisStore(f"rediss+cluster://localhost:{port}?ssl_ca_certs={ours.ca}", LIMITS)
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


async def test_a_url_without_tls(secured: Secured, ours: Authority) -> None:
    """A plain connection to a TLS port is an error, and does not hang."""
    store = RedisStore(secured.url.replace("rediss://", "redis://"), LIMITS)
    try:
        with pytest.raises(StoreError):
            await store.constant("a", b"b")
    finally:
        await store.aclose()
