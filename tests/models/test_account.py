"""A provider's account as operators write it: keys with blanks around them, proxies and exemptions."""

from typing import Any

import pytest
from upstream import Upstream
from ways import answer, texts

from headwater.errors import ModelError, Unsupported
from headwater.models.by_name import from_name, through_langchain
from headwater.models.openai.connection import Account
from headwater.models.openai.proxy import proxy_for
from headwater.settings import Settings
from headwater.wiring.models import catalogue

BOTH = pytest.mark.parametrize("build", [from_name, through_langchain])
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "OPENAI_PROXY")


@pytest.fixture(autouse=True)
def no_proxy_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own proxy decides nothing here."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@BOTH
@pytest.mark.parametrize("key", ["sk-a\n", " sk-a", "\tsk-a\r\n", "sk-a"])
async def test_blanks_around_a_key_and_an_address_are_stripped(build: Any, key: str) -> None:
    """They come from files and clipboards."""
    async with Upstream() as upstream:
        assert "".join(texts(await answer(build("openai:m", Account(f" {upstream.url}/\n", key))))) == "Hello"
        assert upstream.requests[0].headers["authorization"] == "Bearer sk-a"


@BOTH
@pytest.mark.parametrize("key", ["sk-a\nsk-b", "sk-a sk-b", "sk-ä", "sk-\u200b", "sk-\x00"])
async def test_a_key_that_cannot_be_one_is_named_as_such(build: Any, key: str) -> None:
    """Not in the words of an HTTP library, and without the key."""
    async with Upstream() as upstream:
        with pytest.raises(ModelError) as failure:
            await answer(build("openai:m", Account(upstream.url, key)))
        assert upstream.calls == 0
    assert (failure.value.code, failure.value.status) == ("model_unavailable", 503)
    assert "API key" in str(failure.value)
    assert "injection" not in str(failure.value)
    assert "sk-" not in str(failure.value)


def test_settings_are_stripped_and_a_broken_key_is_refused_at_the_start() -> None:
    """A blank one is none at all."""
    settings = Settings(openai_api_key="sk-a\n", openai_base_url=" http://x/v1 ", model=" ")  # pyright: ignore[reportCallIssue, reportArgumentType]
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "sk-a"
    assert (settings.openai_base_url, settings.model) == ("http://x/v1", None)
    with pytest.raises(ValueError, match="copy it anew") as failure:
        Settings(openai_api_key="sk-a\nsk-b")  # pyright: ignore[reportCallIssue, reportArgumentType]
    assert "sk-a" not in str(failure.value)


@pytest.mark.parametrize("name", ["all_proxy", "ALL_PROXY", "https_proxy"])
def test_a_proxy_of_a_kind_that_does_not_work_is_refused_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, not with the first answer."""
    monkeypatch.setenv(name, "socks5://127.0.0.1:1080")
    with pytest.raises(Unsupported, match=rf"{name.upper()} is a proxy of the kind socks5"):
        catalogue(Settings(openai_api_key="sk-a"), "openai:m")  # pyright: ignore[reportCallIssue, reportArgumentType]
    catalogue(Settings(), "echo")  # pyright: ignore[reportCallIssue]
    monkeypatch.setenv("NO_PROXY", "api.openai.com")
    catalogue(Settings(openai_api_key="sk-a"), "openai:m")  # pyright: ignore[reportCallIssue, reportArgumentType]


@pytest.mark.parametrize(
    ("address", "exempt", "used"),
    [
        ("http://10.1.2.3:8000/v1", "10.0.0.0/8", False),
        ("http://10.1.2.3:8000/v1", "192.168.0.0/16, 10.1.2.3/32", False),
        ("http://[fd00::1]/v1", "fd00::/8", False),
        ("http://11.1.2.3/v1", "10.0.0.0/8", True),
        ("http://model.example/v1", "10.0.0.0/8,nonsense/99", True),
        ("http://model.example/v1", ".example", False),
        ("http://10.1.2.3/v1", "*", False),
        ("http://10.1.2.3/v1", "", True),
    ],
)
def test_a_network_may_be_exempt_from_the_proxy(
    address: str, exempt: str, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As curl and Go read the same variable."""
    monkeypatch.setenv("HTTP_PROXY", "proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", exempt)
    assert proxy_for(address) == ("http://proxy.example:3128" if used else None)


def test_the_proxy_that_is_set_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the environment's, and over its exemptions."""
    monkeypatch.setenv("HTTP_PROXY", "http://other.example")
    monkeypatch.setenv("NO_PROXY", "*")
    assert proxy_for("http://x/v1", " http://mine.example ") == "http://mine.example"
    with pytest.raises(Unsupported, match="OPENAI_PROXY"):
        proxy_for("http://x/v1", "socks5h://mine.example")
