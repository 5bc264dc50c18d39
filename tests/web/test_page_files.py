"""The files of the page: which form of them is sent, and what a browser or a proxy may keep."""

import gzip
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from serving import headwater, serving
from starlette.applications import Starlette

from headwater.models.scripted import Scripted
from headwater.web.routes.server import STATIC, page_routes

SCRIPT = b"console.log('Headwater')" * 99
FORMS = {None: SCRIPT, "br": b"(what brotli makes of it)", "gzip": gzip.compress(SCRIPT)}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client of a built page, whose script exists in three forms and whose picture in one."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "index-1a2b.js").write_bytes(SCRIPT)
    (tmp_path / "assets" / "index-1a2b.js.br").write_bytes(FORMS["br"])
    (tmp_path / "assets" / "index-1a2b.js.gz").write_bytes(FORMS["gzip"])
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "mark.svg").write_text("<svg/>")
    async with serving(Starlette(routes=page_routes(tmp_path))) as client:
        yield client


async def get(client: httpx.AsyncClient, path: str, **headers: str) -> tuple[httpx.Response, bytes]:
    """The response and its body as sent."""
    async with client.stream("GET", path, headers=headers) as response:
        return response, b"".join([piece async for piece in response.aiter_raw()])


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("BR", "br"),
        ("*", "br"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("br;q=0, *;q=0.1", "gzip"),
        ("br;q=0.2, gzip;q=0.3, identity;q=0.8", None),
        ("gzip;q=0", None),
        ("zstd", None),
        ("identity", None),
        ("", None),
    ],
)
async def test_a_text_is_sent_in_the_coding_that_the_client_prefers(
    client: httpx.AsyncClient, accepted: str, coding: str | None
) -> None:
    """With the type of the text, and a length that is that of the bytes sent."""
    response, sent = await get(client, "/assets/index-1a2b.js", **{"accept-encoding": accepted})

    assert response.status_code == 200
    assert response.headers.get("content-encoding") == coding
    assert sent == FORMS[coding]
    assert response.headers["content-length"] == str(len(sent))
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert response.headers["vary"] == "Accept-Encoding"


async def test_a_proxy_cannot_confuse_the_forms(client: httpx.AsyncClient) -> None:
    """Each has an entity tag of its own, and a client that has one form is not told that it has another."""
    tags = {
        coding: (await client.head("/assets/index-1a2b.js", headers={"accept-encoding": coding})).headers["etag"]
        for coding in ("br", "gzip", "identity")
    }
    assert len(set(tags.values())) == 3

    for coding, tag in tags.items():
        for sent in tags:
            headers = {"accept-encoding": sent, "if-none-match": f'"other", W/{tag}'}
            response = await client.get("/assets/index-1a2b.js", headers=headers)
            assert response.status_code == (304 if sent == coding else 200)
            assert response.headers["vary"] == "Accept-Encoding"


async def test_what_is_named_by_its_hash_is_kept_for_ever_and_the_index_is_asked_for_again(
    client: httpx.AsyncClient,
) -> None:
    """An upgrade shows at the next visit; a visit without one costs two small requests."""
    asset = (await client.get("/assets/index-1a2b.js", headers={"accept-encoding": "gzip"})).headers
    index = (await client.get("/")).headers

    assert asset["cache-control"] == "public, max-age=31536000, immutable"
    assert index["cache-control"] == "no-cache"
    assert (await client.get("/", headers={"if-none-match": index["etag"]})).status_code == 304


async def test_an_upgrade_is_noticed_even_where_no_file_changes_its_time_or_size(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """As in a reproducible image: a kept index would name scripts that are gone."""
    index = tmp_path / "index.html"
    os.utime(index, (1_000_000_000, 1_000_000_000))
    before = (await client.get("/")).headers["etag"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_text("<!DOCTYPE HTML>")
    os.utime(other / "index.html", (1_000_000_000, 1_000_000_000))
    async with serving(Starlette(routes=page_routes(other))) as upgraded:
        after = await upgraded.get("/", headers={"if-none-match": before})

    assert (after.status_code, after.text) == (200, "<!DOCTYPE HTML>")


async def test_a_file_without_other_forms_is_sent_as_it_is(client: httpx.AsyncClient) -> None:
    """Compression gains nothing on a small picture."""
    response, sent = await get(client, "/mark.svg", **{"accept-encoding": "br"})

    assert (sent, response.headers.get("content-encoding")) == (b"<svg/>", None)


@pytest.mark.parametrize("name", ["index-1a2b.js.br", "index-1a2b.js.gz"])
async def test_a_form_has_no_address_of_its_own(client: httpx.AsyncClient, name: str) -> None:
    """Its bytes would be taken for the text."""
    assert (await client.get(f"/assets/{name}")).status_code == 404


async def test_the_built_page_has_every_text_in_both_forms() -> None:
    """The first visit costs a quarter of the bytes."""
    texts = [file for file in STATIC.rglob("*") if file.suffix in (".js", ".css", ".html", ".md") and not _small(file)]
    assert len(texts) >= 3, "the page is not built here: make page"
    async with headwater(Scripted([])) as server:
        for file in texts:
            path = f"/{file.relative_to(STATIC).as_posix()}"
            whole = file.read_bytes()
            for coding in ("br", "gzip"):
                response, sent = await get(server.client, path, **{"accept-encoding": coding})
                assert response.headers["content-encoding"] == coding
                assert len(sent) < len(whole) * 0.6
            assert gzip.decompress(sent) == whole


def _small(file: Path) -> bool:
    return file.stat().st_size < 1000 and file.name != "index.html"
