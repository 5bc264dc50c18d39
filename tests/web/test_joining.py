"""One-time links: a second device becomes the same visitor as the first."""

import asyncio

import httpx
import pytest
from serving import Headwater, headwater
from test_keys import ANN, bearer, keys
from test_visitors import morsel

from headwater.errors import StoreError
from headwater.events import Finish, TextDelta
from headwater.log.memory import MemoryStore
from headwater.models.scripted import SILENCE, Scripted
from headwater.web.routes import join
from headwater.web.visitors import COOKIE

ALL = "/api/conversations"
OWN = {"sec-fetch-site": "same-origin"}
MODEL = Scripted([TextDelta("x"), Finish("stop")])


def device(server: Headwater) -> httpx.AsyncClient:
    """A browser of its own."""
    return httpx.AsyncClient(base_url=server.client.base_url, timeout=20)


async def titles(client: httpx.AsyncClient) -> set[str]:
    """The titles of the conversations that this browser sees."""
    return {each["title"] for each in (await client.get(ALL)).json()["conversations"]}


async def made(client: httpx.AsyncClient) -> str:
    """A new link, as the page shows it."""
    response = await client.post("/api/visitor/link", headers={"origin": str(client.base_url).rstrip("/")})
    assert response.status_code == 201
    assert response.headers["cache-control"].startswith("private")
    url = response.json()["url"]
    assert url.startswith(f"{str(client.base_url).rstrip('/')}/join/")
    return url


async def test_a_second_device_becomes_the_same_visitor_and_brings_its_chats() -> None:
    """To look at the link burns nothing; the button works once, and without a script."""
    async with headwater(MODEL) as server, device(server) as phone, device(server) as third:
        await server.client.put(f"{ALL}/of-the-desk", json={"title": "desk"})
        await phone.put(f"{ALL}/of-the-phone", json={"title": "phone"})
        before = phone.cookies[COOKIE]
        url = await made(server.client)
        await phone.get(url, headers={"sec-purpose": "prefetch", **TAB})
        looked = await phone.get(url, headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", **TAB})
        nothing = await third.get(url)
        joined = await phone.post(url, headers=OWN)
        again, used = await third.post(url, headers=OWN), await third.get(url)

        assert looked.status_code == 200
        assert "<script" not in looked.text
        assert '<form method="post">' in looked.text
        assert "(1)" in looked.text
        assert "form-action 'self'" in looked.headers["content-security-policy"]
        assert "come along" not in nothing.text
        assert (joined.status_code, joined.headers["location"]) == (303, "/")
        assert {"httponly", "path", "max-age"} <= set(morsel(joined))
        assert phone.cookies[COOKIE] == server.client.cookies[COOKIE] != before
        assert await titles(phone) == await titles(server.client) == {"desk", "phone"}
        assert await titles(third) == set()
        for over in (again, used):
            assert (over.status_code, "set-cookie" in over.headers) == (410, False)
            assert "Make a new one" in over.text


TAB = {"sec-fetch-dest": "document"}


async def test_an_answer_that_ran_when_its_device_joined_is_stopped_from_any_device() -> None:
    """Also when the device that was joined joins another one afterwards."""
    async with headwater(Scripted([TextDelta("a"), SILENCE])) as server, device(server) as phone, device(server) as tab:
        asked = await phone.post(f"{ALL}/running-chat/messages", json={"content": "Q", "parent": None})
        log = asked.json()["answer"]["location"]
        await tab.put(f"{ALL}/of-the-tablet")
        await phone.post(await made(tab), headers=OWN)
        stranger = await server.client.post(f"{log}/stop")
        await server.client.put(f"{ALL}/of-the-desk")
        await tab.post(await made(server.client), headers=OWN)
        stopped = await server.client.post(f"{log}/stop")

    assert (stranger.status_code, stranger.json()["state"]) == (202, "open")
    assert (stopped.status_code, stopped.json()["state"]) == (200, "stopped")


async def test_of_many_devices_that_press_the_button_at_once_one_joins() -> None:
    """Nobody else becomes the visitor."""
    async with headwater(MODEL) as server:
        url = await made(server.client)
        devices = [device(server) for _ in range(5)]
        pressed = await asyncio.gather(*(each.post(url, headers=OWN) for each in devices))
        for each in devices:
            await each.aclose()

    assert sorted(each.status_code for each in pressed) == [303, 410, 410, 410, 410]


@pytest.mark.parametrize(
    "headers",
    [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.example"}],
    ids=str,
)
async def test_another_sites_form_joins_nobody(headers: dict[str, str]) -> None:
    """It could make its visitor write into somebody else's list; the link stays as it was."""
    async with headwater(MODEL) as server, device(server) as victim:
        url = await made(server.client)
        forged = await victim.post(url, headers=headers)
        assert (forged.status_code, "set-cookie" in forged.headers) == (403, False)
        assert (await victim.post(url, headers=OWN)).status_code == 303


async def test_the_browser_that_made_the_link_keeps_it_for_another() -> None:
    """Who opens it there by mistake is told so."""
    async with headwater(MODEL) as server, device(server) as phone:
        url = await made(server.client)
        shown, pressed = await server.client.get(url), await server.client.post(url, headers=OWN)
        assert "already" in shown.text
        assert "already" in pressed.text
        assert (await phone.post(url, headers=OWN)).status_code == 303


async def test_a_link_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a token that never was is the same."""
    monkeypatch.setattr(join, "LIFE", 0.0)
    async with headwater(MODEL) as server, device(server) as phone:
        url = await made(server.client)
        for path in (url, "/join/never-was"):
            for response in (await phone.get(path), await phone.post(path, headers=OWN)):
                assert response.status_code == 410


async def test_with_keys_the_login_is_the_subject() -> None:
    """The refusal says so."""
    async with headwater(MODEL, keys=keys()) as server:
        assert (await server.client.post("/api/visitor/link")).status_code == 401
        refused = await server.client.post("/api/visitor/link", headers=bearer(ANN))
        page = await server.client.get("/join/x", headers=bearer(ANN))

    assert (refused.status_code, refused.json()["code"]) == (409, "login_decides")
    assert "key" in refused.json()["detail"]
    assert page.status_code == 409


async def test_a_store_that_is_down_costs_no_chat() -> None:
    """The page says that nothing is lost, and the browser stays who it is."""

    class Down(MemoryStore):
        down = False

        async def get(self, name: str, *, collection: str = "") -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            if self.down:
                raise StoreError("down")
            return await super().get(name, collection=collection)  # pyright: ignore[reportReturnType]

    store = Down()
    async with headwater(MODEL, store) as server, device(server) as phone:
        url = await made(server.client)
        store.down = True
        for response in (await phone.get(url), await phone.post(url, headers=OWN)):
            assert (response.status_code, "set-cookie" in response.headers) == (503, False)
            assert "No chat is lost" in response.text
        store.down = False
