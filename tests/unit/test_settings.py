"""Settings: where they come from, what they select, and that the docs list them as they are."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from headwater.answers.quota import Allowance, Quota
from headwater.errors import Unsupported
from headwater.log.sqlite.store import SqliteStore
from headwater.settings import Settings, table
from headwater.wiring.models import choose
from headwater.wiring.server import allowance_of
from headwater.wiring.stores import describe_store, open_store

EXAMPLE = Path(__file__).parents[2] / ".env.example"
DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


OTHERS = ("REDIS_URL", "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the machine's environment nor a `.env` beside the tests decides what they see."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HEADWATER_MODEL", "HEADWATER_STORE", *OTHERS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_docs_have_every_setting_as_it_is() -> None:
    """Run scripts/settings.py after a change."""
    assert DOCS.read_text().endswith(table())


def test_the_example_names_only_what_there_is() -> None:
    """Each line of it, without the `#`, is a setting that can be read."""
    lines = [line.removeprefix("# ") for line in EXAMPLE.read_text().splitlines() if line.startswith("# ")]
    named = {line.partition("=")[0] for line in lines if line.partition("=")[0].isupper()}

    assert len(named) > 10
    assert named <= {line.split("`")[1] for line in table().splitlines() if "`" in line}


def test_the_environment_wins_over_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both are read, lists are comma-separated, and what is empty counts as absent."""
    (tmp_path / ".env").write_text("HEADWATER_PORT=1\nHEADWATER_CACHE_TTL=5\nOPENAI_API_KEY=sk-file\nHEADWATER_HOST=\n")
    monkeypatch.setenv("HEADWATER_PORT", "2")
    monkeypatch.setenv("HEADWATER_ORIGINS", "https://a.example, https://b.example")

    settings = Settings()  # pyright: ignore[reportCallIssue]

    assert (settings.port, settings.cache_ttl, settings.host) == (2, 5, "127.0.0.1")
    assert settings.origins == ["https://a.example", "https://b.example"]
    assert settings.openai_api_key is not None
    assert "sk-file" not in repr(settings)


@pytest.mark.parametrize("origins", ["*", "null", "https://app.example,*"])
def test_credentials_need_origins_by_name(origins: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise any page could use the cookies of its visitors."""
    monkeypatch.setenv("HEADWATER_CREDENTIALS", "true")
    monkeypatch.setenv("HEADWATER_ORIGINS", origins)
    with pytest.raises(ValidationError, match="named"):
        Settings()  # pyright: ignore[reportCallIssue]

    monkeypatch.setenv("HEADWATER_ORIGINS", "https://app.example")
    assert Settings().credentials  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(
    ("given", "model", "demo"),
    [
        ({"model": "openai:gpt-x"}, "openai:gpt-x", False),
        ({"openai_api_key": "sk"}, "openai:gpt-4o-mini", False),
        ({"openai_base_url": "http://127.0.0.1:1/v1"}, "openai:gpt-4o-mini", False),
        ({"openai_api_key": "sk", "model": "echo"}, "echo", True),
        ({}, "local", True),
    ],
    ids=str,
)
def test_the_settings_select_the_model(given: dict[str, str], model: str, demo: bool) -> None:
    """A name, else OpenAI where there is a key or an address, else the embedded demo."""
    choice = choose(Settings.model_validate(given))

    assert (choice.model, choice.demo) == (model, demo)
    assert bool(choice.notice) == demo


UPSTASH = {"upstash_redis_rest_url": "https://x.upstash.example", "upstash_redis_rest_token": "t"}


@pytest.mark.parametrize(
    ("given", "store", "description"),
    [
        ({}, "SqliteStore", "logs.sqlite"),
        ({"redis_url": "redis://u:secret@h:1/2"}, "RedisStore", "redis://h:1/2"),
        ({"redis_url": "redis://h", **UPSTASH}, "UpstashStore", "upstash:"),
        ({"store": "memory:", "redis_url": "redis://h", **UPSTASH}, "MemoryStore", "memory:"),
        ({"store": "rediss://:secret@h"}, "RedisStore", "rediss://h"),
        ({"store": "redis://h:1/2?password=secret"}, "RedisStore", "redis://h:1/2"),
        ({"store": "unix:///run/redis.sock?db=1&password=secret"}, "RedisStore", "unix:///run/redis.sock"),
        ({"store": "redis+cluster://h"}, "RedisStore", "redis+cluster://h"),
    ],
    ids=str,
)
async def test_the_settings_select_the_store(given: dict[str, str], store: str, description: str) -> None:
    """The one that is named; else the one whose variables a host has set, as in the original; else a file."""
    settings = Settings.model_validate(given)
    opened = open_store(settings)

    assert type(opened).__name__ == store
    assert description in describe_store(settings)
    assert "secret" not in describe_store(settings)
    await opened.aclose()


@pytest.mark.parametrize(
    ("given", "lease", "heartbeat"),
    [
        ({}, 15, 5),
        ({"store": "redis://h"}, 6, 2),
        ({"store": "upstash:", **UPSTASH}, 15, 1),
        ({"store": "redis://h", "lease": "30"}, 30, 5),
        ({"lease": "9"}, 9, 3),
    ],
    ids=str,
)
async def test_each_store_has_its_own_lease(given: dict[str, str], lease: float, heartbeat: float) -> None:
    """A death is noticed sooner on Redis, where heartbeats are cheap, unless the setting says otherwise."""
    opened = open_store(Settings.model_validate(given))
    assert (opened.limits.lease, opened.limits.heartbeat) == (lease, heartbeat)
    await opened.aclose()


def test_a_store_of_another_version_is_refused_in_words() -> None:
    """A typo must not end in an empty store somewhere else."""
    with pytest.raises(Unsupported, match="memory:"):
        open_store(Settings.model_validate({"store": "postgres://x"}))


@pytest.mark.parametrize("written", ["/var/c#1/logs.sqlite", "/var/c%231/logs.sqlite"])
async def test_a_file_whose_path_has_a_number_sign(written: str) -> None:
    """What comes behind it is part of the path: it must not be another file, which nobody named."""
    store = open_store(Settings.model_validate({"store": f"sqlite://{written}"}))

    assert isinstance(store, SqliteStore)
    assert store.path == Path("/var/c#1/logs.sqlite")
    await store.aclose()


@pytest.mark.parametrize("store", ["sqlite://rel.sqlite", "sqlite:rel.sqlite", "sqlite:///", "sqlite:", "sqlite:///x/"])
def test_a_file_is_named_by_its_whole_path(store: str) -> None:
    """A relative path would be another file in another working directory, and a folder is not a file."""
    with pytest.raises(Unsupported, match="sqlite:///"):
        open_store(Settings.model_validate({"store": store}))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("origins", "https://[x"),
        ("origins", "app.example"),
        ("origins", "https://app.example/path"),
        ("origins", "https://app.example:port"),
        ("hosts", "[evil"),
        ("hosts", "https://app.example"),
        ("data_dir", "~nobody-of-that-name/hw"),
        ("prefill", "openai:m=guess"),
    ],
)
def test_a_value_that_cannot_be_right_is_refused_at_the_start(setting: str, value: str) -> None:
    """And not at every request."""
    with pytest.raises(ValidationError, match=re.escape(value)):
        Settings.model_validate({setting: value})


def test_origins_are_compared_as_browsers_write_them() -> None:
    """Small, without the scheme's own port and without a slash at the end."""
    written = "https://App.Example/, https://b.example:443, http://c.example:8080, null, *, app://[::1]:80"

    settings = Settings.model_validate({"origins": written, "hosts": "App.Example:80, ::1, [::1]:80, *"})

    assert settings.origins == [
        "https://app.example",
        "https://b.example",
        "http://c.example:8080",
        "null",
        "*",
        "app://[::1]:80",
    ]


def test_the_data_directory_may_be_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """In `.env` no shell writes the `~` out."""
    monkeypatch.setenv("HOME", "/home/me")

    assert Settings.model_validate({"data_dir": "~/hw"}).data_dir == Path("/home/me/hw")


def test_limits_of_a_tenant_stand_for_the_usual_ones() -> None:
    """By its name, which may have a colon; what it does not name stays as it is for all."""
    written = "acme:requests_per_minute=60;generations=4, auth0:bob:cost_per_day=0.5; tokens_per_day=0,"
    allowance = allowance_of(Settings.model_validate({"tokens_per_day": "9", "limits": written}))

    assert allowance.of("acme") == Quota(requests_per_minute=60, generations=4, tokens_per_day=9)
    assert allowance.of("auth0:bob") == Quota(cost_per_day=0.5)
    assert allowance.of("other") == Quota(tokens_per_day=9)
    assert Allowance(Quota(), {"free": Quota()}).of("free") is None


@pytest.mark.parametrize(
    "limits", ["acme", "acme:4", ":generations=4", "acme:generations=few", "acme:generations=-1", "acme:streams=4"]
)
def test_limits_that_mean_nothing_are_refused_at_the_start(limits: str) -> None:
    """A limit that is misspelt must not be none."""
    with pytest.raises(ValidationError, match="limits"):
        Settings.model_validate({"limits": limits})
