"""The models on offer: what is built, what is kept, and what is closed."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr
from serving import until
from upstream import Upstream
from ways import HELLO, KEY, answer

import headwater
from headwater.events import Event, Finish
from headwater.langchain import ChatOpenAIWire
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.model import Continues, Model, Prepares
from headwater.models.openai.model import OpenAIModel
from headwater.prompt import Prompt
from headwater.settings import Settings
from headwater.wiring.models import catalogue, catalogue_of


class Named:
    """A model that records whether it was prepared and closed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.prepared = self.closed = False

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """An empty answer."""
        yield [Finish("stop")]

    async def prepare(self) -> None:
        """Get ready."""
        self.prepared = True

    async def aclose(self) -> None:
        """Let go."""
        self.closed = True


class Shop:
    """A catalogue that offers any name, and all models that it built."""

    def __init__(self, most: int) -> None:
        self.built: list[Named] = []
        self.catalogue = Catalogue(self.offer("chat"), more=self.offer, most=most)

    def offer(self, name: str) -> Offer:
        async def build() -> Model:
            self.built.append(Named(name))
            return self.built[-1]

        return Offer(name, "", True, build)

    async def get(self, name: str) -> Model:
        return await self.catalogue.get(self.catalogue.find(name, "chat"))


def anything(**options: str) -> Catalogue:
    """The server's own catalogue, offering every name of the provider."""
    chosen: dict[str, Any] = {"model": "openai:m", "allowed_models": ["*"], **options}
    return catalogue(Settings(**chosen), "openai:m")


async def test_of_unlisted_names_only_the_last_used_are_kept() -> None:
    """A caller who may use any name must not fill the memory; the models that the operator named stay."""
    shop = Shop(most=3)
    for name in ("chat", "a", "b", "c", "a", "d"):
        await shop.get(name)
    await asyncio.sleep(0)
    assert [model.name for model in shop.built if model.closed] == ["b"]
    assert await shop.get("a") is shop.built[1]
    assert await shop.get("chat") is shop.built[0]
    await shop.catalogue.aclose()
    assert all(model.closed for model in shop.built)


async def test_the_operator_says_how_each_model_goes_on() -> None:
    """Whether the server built it or the caller, directly and through LangChain."""
    chosen: dict[str, Any] = {"OPENAI_BASE_URL": "http://localhost:1/v1", "OPENAI_API_KEY": KEY}
    settings = Settings(**chosen, prefill="off,openai:able=flags", allowed_models=["*"])
    for wire in (True, False):
        models = catalogue(settings.model_copy(update={"openai_wire": wire}), "openai:m")
        assert [await goes_on(await models.get(models.find(name, "chat"))) for name in ("able", "m")] == [True, False]
    theirs = ChatOpenAIWire(model="m", base_url="http://localhost:1/v1", api_key=SecretStr(KEY))
    for each in (theirs, theirs.bind(temperature=0)):
        given = catalogue_of(settings, each, None)
        assert not await goes_on(await given.get(given.chat))
        given = catalogue_of(Settings(), each, None)  # pyright: ignore[reportCallIssue]
        assert await goes_on(await given.get(given.chat))


async def goes_on(model: Model) -> bool:
    assert isinstance(model, Continues)
    assert isinstance(model, Prepares)
    await model.prepare()
    return model.continues(HELLO)


async def test_all_names_of_one_account_share_its_connections() -> None:
    """Another name needs no new handshake; the catalogue closes the connections, no single model does."""
    async with Upstream() as upstream:
        models = anything(OPENAI_BASE_URL=upstream.url, OPENAI_API_KEY=KEY)
        direct: list[OpenAIModel] = []
        for name in ("openai:m", "openai:other"):
            model = await models.get(models.find(name, "chat"))
            assert isinstance(model, OpenAIModel)
            assert (await answer(model))[-1].__class__ is Finish  # which closes the model
            direct.append(model)
        sessions = {await model._connections.session() for model in direct}  # pyright: ignore[reportPrivateUsage]
        assert len(sessions) == 1
        assert not any(session.closed for session in sessions)
        await models.aclose()
        assert all(session.closed for session in sessions)


async def test_a_model_is_built_once() -> None:
    """Although every request looks it up."""
    models = anything()
    first = await models.get(models.find("openai:other", "chat"))
    assert await models.get(models.find("openai:other", "chat")) is first


async def test_a_model_of_the_users_own_is_prepared_and_never_closed() -> None:
    """Its owner may need it after the server."""
    app, mine = FastAPI(), Named("mine")
    app.include_router(headwater.router(mine, store="memory:"))
    async with app.router.lifespan_context(app):
        await until(lambda: mine.prepared, "the model is prepared")
    assert not mine.closed
