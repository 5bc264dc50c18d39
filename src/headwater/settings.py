"""The only reader of the environment: every setting, its default and what it is for."""

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from headwater.models.prefill import SETTINGS as PREFILLS

Names = Annotated[list[str], NoDecode]
ENV_FILE = ".env"


_PLAIN = (
    *("model", "completion_model", "store", "secret", "redis_url", "api_key", "api_keys", "keys_file"),
    *("openai_api_key", "openai_base_url", "openai_org_id", "openai_project_id", "openai_proxy"),
    *("upstash_redis_rest_url", "upstash_redis_rest_token"),
)
"""Texts that may have a line break or blanks around them where they came from a file or were copied."""


_LISTS = (
    *("allowed_models", "continue_by", "dialects", "fallback"),
    *("hosts", "openai_leave_out", "origins", "prefill", "proxies"),
)


class Settings(BaseSettings):
    """Every setting, from the environment or else from `.env` in the working directory. Times are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="HEADWATER_",
        env_file=ENV_FILE,
        extra="ignore",
        populate_by_name=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,  # a key with a line break must not be shown
    )

    model: str | None = Field(
        None,
        description="Model that answers: a LangChain name (`openai:gpt-4o-mini`), `openai-responses:…` (OpenAI's "
        "Responses API, whose runs outlive a broken connection), `local` or `echo`; "
        "default: `openai:gpt-4o-mini` with an OpenAI key or address, else `local`",
    )
    completion_model: str | None = Field(
        None, description="Model of the completion route, `openai-completion:…`; default: the chat model"
    )
    allowed_models: Names = Field(
        [], description="Other models a request may name, comma-separated; `*`: any model of the provider"
    )
    store: str | None = Field(
        None,
        description="`sqlite:///path`, `redis://…`, `rediss://…`, `redis+cluster://…`, `upstash:` or `memory:`; "
        "default: Upstash or Redis if their variables are set, else SQLite in the data directory",
    )
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("headwater"), description="Folder of the SQLite file and the demo model"
    )
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0: any free port")
    insecure: bool = Field(
        False, description="Let everybody in who reaches `HEADWATER_HOST`, also from other machines, if there is no key"
    )
    api_keys: SecretStr | None = Field(
        None, description="API keys, `tenant:key`, comma-separated; a key alone is of the tenant `default`"
    )
    keys_file: Path | None = Field(
        None,
        description="File of the keys that `headwater keys create` makes; default: `keys.json` in the data directory",
    )
    api_key: SecretStr | None = Field(None, description="API key that `headwater ask` and `headwater tail` send")
    hosts: Names = Field(
        [],
        description="Other host names the server answers to (`Host`), comma-separated, beside addresses, `localhost` "
        "and this machine's own name; `*`: any",
    )
    proxies: Names = Field(
        [],
        description="Addresses or networks of the proxies whose `X-Forwarded-*` headers are believed, comma-separated",
    )
    origins: Names = Field(
        [], description="Other sites whose pages may call the server (CORS), e.g. `https://app.example`; `*`: any"
    )
    dialects: Names = Field(
        ["*"],
        description="Dialects whose routes are served beside Headwater's own, comma-separated, e.g. `openai`; `*`: all",
    )
    credentials: bool = Field(
        False, description="Let the pages of `HEADWATER_ORIGINS`, which must be named, send cookies (CORS credentials)"
    )
    workers: int = Field(1, ge=1, le=256, description="Number of server processes, which share the port and the store")
    drain: float = Field(30, ge=0, description="Time that running answers get to finish after SIGTERM")
    cache_ttl: float = Field(
        3600, ge=0, description="Time for which a finished answer is replayed; 0 disables the cache"
    )
    match: Literal["exact", "form"] = Field(
        "exact",
        description="Which questions an answer is replayed to: `exact`: the same one; `form`: also one that differs in "
        "spelling, case, greeting or punctuation alone, where that can mean nothing (docs/stores.md)",
    )
    replay: str = Field(
        "instant",
        description="How fast a stored answer is told: `instant`, `original` (with the pauses of its first run) or a "
        "number of tokens per second; a request may choose by `?pace=`",
    )
    secret: SecretStr | None = Field(
        None,
        description="Secret key of the cache's fingerprints and of the sessions; default: generated once and kept in "
        "the store",
    )
    first_token_timeout: float = Field(300, gt=0, description="Time limit for a model's first token")
    model_timeout: float = Field(
        60,
        gt=0,
        description="Time limit between two chunks of an answer, also chunks without words; comment lines do not count",
    )
    total_timeout: float = Field(3600, gt=0, description="Time limit for a whole answer")
    lifetime: float | None = Field(
        None,
        gt=10,
        description="Time after which the platform ends every request, such as Vercel's `maxDuration`; running answers "
        "end with the error `shutdown` 10 s before",
    )
    retries: int = Field(2, ge=0, le=10, description="Retries of a model that fails before its first token")
    continue_: Literal["off", "provider", "all"] = Field(
        "all",
        validation_alias="HEADWATER_CONTINUE",
        description="Which answers go on after a break: `off`: none, `provider`: those whose provider broke off, "
        "`all`: also those whose server died or was stopped, for which the question is kept beside its answer",
    )
    continue_limit: int = Field(2, ge=1, le=10, description="Breaks that are mended in one answer, at most")
    continue_by: Names = Field(
        ["reattach", "prefill"],
        description="Ways to go on, comma-separated: `reattach`: the provider still has the run; `prefill`: the model "
        "continues its own text; `prompt`: it is asked to repeat its last words and go on, which not every model does",
    )
    fallback: Names = Field(
        [],
        description="Models that answer, or go on, where the chosen one fails, comma-separated and in this order; such "
        "an answer is not cached",
    )
    lease: float | None = Field(
        None,
        gt=0,
        description="Time without a sign of life from a writer after which another server goes on with its answer, or "
        "the answer ends as `lost`; default: 6 on Redis, 15 on other stores",
    )
    heartbeat: float = Field(
        10,
        gt=0,
        description="Time without an event after which a comment line is sent, so that proxies keep the connection",
    )
    keep_alive: int = Field(
        75,
        ge=1,
        description="Time for which an idle connection is kept; must exceed that of a proxy in front",
    )
    max_body: int = Field(4 * 1024 * 1024, gt=0, description="Maximum size of a request body, in bytes")
    openai_wire: bool = Field(
        True,
        description="Read OpenAI's streams directly; false: through LangChain's ChatOpenAI, for several times the CPU",
    )
    think_tags: bool = Field(
        False, description="Take text between `<think>` tags at the beginning of an answer for the model's reasoning"
    )
    prefill: Names = Field(
        [],
        description="How a provider is asked to go on with an answer that broke off: `auto`, the default (by its "
        "address), `off`, `flags`, `prefix`, `partial` or `trailing`; of one model `openai:name=flags`; "
        "comma-separated",
    )
    openai_api_key: SecretStr | None = Field(None, validation_alias="OPENAI_API_KEY", description="OpenAI API key")
    openai_base_url: str | None = Field(
        None, validation_alias="OPENAI_BASE_URL", description="Base URL of OpenAI or a compatible server"
    )
    openai_leave_out: Names = Field(
        [],
        description="Fields that the server at `OPENAI_BASE_URL` does not take, comma-separated, such as "
        "`stream_options`; a field that a refusal names is left out by itself",
    )
    prompt_cache_key: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether a chat without a `prompt_cache_key` gets one, an HMAC of tenant, model and "
        "beginning, for the provider's own cache; `auto`: at OpenAI's address only, `on`: at any compatible server",
    )
    openai_org_id: str | None = Field(
        None, validation_alias="OPENAI_ORG_ID", description="OpenAI organisation that is billed"
    )
    openai_project_id: str | None = Field(
        None, validation_alias="OPENAI_PROJECT_ID", description="OpenAI project that is billed"
    )
    openai_proxy: SecretStr | None = Field(
        None, validation_alias="OPENAI_PROXY", description="HTTP proxy for OpenAI; default: `https_proxy`, if set"
    )

    redis_url: SecretStr | None = Field(
        None, validation_alias="REDIS_URL", description="Redis to use if no store is named"
    )
    upstash_redis_rest_url: str | None = Field(
        None, validation_alias="UPSTASH_REDIS_REST_URL", description="REST URL of an Upstash database"
    )
    upstash_redis_rest_token: SecretStr | None = Field(
        None, validation_alias="UPSTASH_REDIS_REST_TOKEN", description="Its token, the one that may write"
    )

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except PermissionError as error:
            raise _fault(".env", "this user may not read it; make it readable, or start in another folder") from error
        except RuntimeError as error:  # such as a user whom a container's system does not know
            raise _fault("data_dir", "this user has no home directory; set HEADWATER_DATA_DIR to a folder") from error

    @field_validator("continue_by")
    @classmethod
    def _ways(cls, value: list[str]) -> list[str]:
        if unknown := sorted({*value} - {"reattach", "prefill", "prompt"}):
            raise ValueError(f"{', '.join(unknown)}: a way is reattach, prefill or prompt")
        return value

    @field_validator(*_LISTS, mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator(*_PLAIN, mode="before")
    @classmethod
    def _strip(cls, value: object) -> object:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        return (text.strip() or None) if isinstance(text, str) else value

    @field_validator("openai_api_key", "api_key")
    @classmethod
    def _key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[!-~]+", value.get_secret_value()):
            raise ValueError("the key has a line break, a blank or another character that no key has; copy it anew")
        return value

    @field_validator("data_dir", "keys_file")
    @classmethod
    def _at_home(cls, value: Path | None) -> Path | None:
        try:
            return value and value.expanduser()
        except RuntimeError as error:
            raise ValueError(f"{value}: there is no such home directory ({error})") from error

    @field_validator("prefill")
    @classmethod
    def _prefill(cls, value: list[str]) -> list[str]:
        for entry in value:
            if entry.rpartition("=")[2] not in PREFILLS:
                raise ValueError(f"{entry!r} names no way to go on with an answer; the ways are {', '.join(PREFILLS)}")
        return value

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, value: list[str]) -> list[str]:
        for host in value:
            if host != "*" and (
                "/" in host or _named(host if host.count(":") < 2 or "[" in host else f"[{host}]") is None
            ):
                raise ValueError(f"{host!r} is not a host name; write it as app.example, or * for any")
        return value

    @field_validator("proxies")
    @classmethod
    def _proxies(cls, value: list[str]) -> list[str]:
        try:
            return [str(ip_network(each, strict=False)) for each in value]
        except ValueError as error:
            raise ValueError(f"{error}; write it as 10.0.0.7 or 10.0.0.0/8") from error

    @field_validator("replay")
    @classmethod
    def _replay(cls, value: str) -> str:
        if not re.fullmatch("instant|original|[1-9][0-9]{0,3}", value):
            raise ValueError(f"{value!r} is no pace; write instant, original, or tokens per second, 1 to 9999")
        return value

    @field_validator("origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        return [origin if origin in ("*", "null") else _origin(origin) for origin in value]

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if self.credentials and {"*", "null"} & {*self.origins}:
            raise ValueError("credentials are for origins that are named; origins holds * or null, which any page has")
        return self

    def openai_headers(self) -> dict[str, str]:
        """The request headers that name the billed organisation and project, as OpenAI's own client sends them."""
        headers = {"OpenAI-Organization": self.openai_org_id, "OpenAI-Project": self.openai_project_id}
        return {name: value for name, value in headers.items() if value}


def _fault(setting: str, words: str) -> ValidationError:
    found = InitErrorDetails(type=PydanticCustomError("setting", words), loc=(setting,), input=None)  # pyright: ignore[reportArgumentType]
    return ValidationError.from_exception_data("Settings", [found])


def _origin(written: str) -> str:
    """Normalise an origin to the form that browsers send, because origins are compared as strings."""
    scheme, found, rest = written.rstrip("/").lower().partition("://")
    if not found or not scheme or set(rest) & set("/?#@ ") or _named(rest) is None:
        raise ValueError(f"{written!r} is not an origin; write it as https://app.example, or * for any")
    default = {"https": ":443", "http": ":80"}.get(scheme, "")
    return f"{scheme}://{rest.removesuffix(default) if default else rest}"


def _named(host: str) -> str | None:
    """The host name without its port; None if there is none."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname if parts.port != 0 else None
    except ValueError:
        return None


def export_env_file() -> None:
    """Put the variables of `.env` that are not Headwater's into the environment, except where they have a value there.

    Providers' packages read their keys from the environment only, such as `ANTHROPIC_API_KEY`. Headwater's own
    settings, secrets among them, stay in the file, so that no child process inherits them. Only for `headwater serve`:
    the environment of an app that includes the router is the app's own.
    """
    ours = {str(field.validation_alias).upper() for field in Settings.model_fields.values()}
    for name, value in dotenv_values(ENV_FILE, encoding=None).items():
        other = name.upper() not in ours and not name.upper().startswith("HEADWATER_")
        if other and value and not os.environ.get(name):  # an empty value counts as absent, as for the settings
            os.environ[name] = value


def table() -> str:
    """Every setting as a Markdown table: the content of `docs/settings.md`, which a test compares."""
    rows = ["| setting | default | purpose |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        variable = str(field.validation_alias or f"HEADWATER_{name.upper()}")
        default = "the user's data directory" if name == "data_dir" else field.default
        rows.append(f"| `{variable}` | {'' if default in (None, []) else default} | {field.description} |")
    return "\n".join(rows) + "\n"
