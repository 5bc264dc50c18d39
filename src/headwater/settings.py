"""The only reader of the environment: every setting, its default and what it is for."""

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from dotenv import dotenv_values
from platformdirs import user_data_path
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Names = Annotated[list[str], NoDecode]
ENV_FILE = ".env"


class Settings(BaseSettings):
    """Read from the environment, or from `.env` in the working directory; the environment wins. Times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="HEADWATER_", env_file=ENV_FILE, extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    model: str | None = Field(None, description="LangChain name (`openai:gpt-4o-mini`), `local` or `echo`")
    completion_model: str | None = Field(None, description="`openai-completion:…`; none: the chat model completes")
    allowed_models: Names = Field([], description="Further models a request may name; `*` for any of the provider")
    store: str | None = Field(
        None,
        description="`sqlite:///path`, `redis://…`, `rediss://…`, `redis+cluster://…`, `upstash:` or `memory:`; "
        "none: Upstash or Redis where their variables are set, else SQLite in the data directory",
    )
    data_dir: Path = Field(user_data_path("headwater"), description="Where the store and the demo model live")
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    hosts: Names = Field([], description="Further names under which the server is reached (`Host`); `*` for any")
    origins: Names = Field([], description="Pages elsewhere that may use the server, e.g. `https://app.example`")
    workers: int = Field(1, ge=1, le=256, description="Server processes that share the port and the store")
    drain: float = Field(30, ge=0, description="How long running answers may go on after SIGTERM")
    cache_ttl: float = Field(3600, ge=0, description="How long an answer may be replayed; 0 turns the cache off")
    secret: SecretStr | None = Field(None, description="Keys the cache's fingerprints; none: made once, in the store")
    first_token_timeout: float = Field(300, gt=0, description="How long a model may think before its first token")
    model_timeout: float = Field(60, gt=0, description="How long a model may fall silent after it")
    total_timeout: float = Field(3600, gt=0, description="How long one answer may take in all")
    retries: int = Field(2, ge=0, le=10, description="How often a failing model is asked again before its first token")
    lease: float = Field(15, gt=0, description="Silence of a writer after which its log is lost")
    heartbeat: float = Field(10, gt=0, description="Silence after which a comment line keeps the connection open")
    max_body: int = Field(4 * 1024 * 1024, gt=0, description="Bytes of a request's body that are read at most")
    openai_wire: bool = Field(
        True,
        description="Read OpenAI's streams directly; off: by LangChain's ChatOpenAI, at several times the CPU",
    )
    openai_api_key: SecretStr | None = Field(None, validation_alias="OPENAI_API_KEY", description="OpenAI's key")
    openai_base_url: str | None = Field(
        None, validation_alias="OPENAI_BASE_URL", description="Address of an OpenAI-compatible server"
    )
    openai_org_id: str | None = Field(None, validation_alias="OPENAI_ORG_ID", description="Organisation that pays")
    openai_project_id: str | None = Field(None, validation_alias="OPENAI_PROJECT_ID", description="Project that pays")
    openai_proxy: SecretStr | None = Field(
        None, validation_alias="OPENAI_PROXY", description="Proxy to OpenAI; none: `https_proxy`, where it is set"
    )

    redis_url: SecretStr | None = Field(
        None, validation_alias="REDIS_URL", description="Redis, where no store is named"
    )
    upstash_redis_rest_url: str | None = Field(
        None, validation_alias="UPSTASH_REDIS_REST_URL", description="Address of an Upstash database"
    )
    upstash_redis_rest_token: SecretStr | None = Field(
        None, validation_alias="UPSTASH_REDIS_REST_TOKEN", description="Its token"
    )

    @field_validator("allowed_models", "hosts", "origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("data_dir")
    @classmethod
    def _at_home(cls, value: Path) -> Path:
        try:
            return value.expanduser()
        except RuntimeError as error:
            raise ValueError(f"{value} is in nobody's home: {error}") from error

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, value: list[str]) -> list[str]:
        for host in value:
            if host != "*" and (
                "/" in host or _named(host if host.count(":") < 2 or "[" in host else f"[{host}]") is None
            ):
                raise ValueError(f"{host!r} is no name of a host; write it as app.example, or * for any")
        return value

    @field_validator("origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        return [origin if origin in ("*", "null") else _origin(origin) for origin in value]

    def openai_headers(self) -> dict[str, str]:
        """What OpenAI is told of who pays, as its own client tells it."""
        told = {"OpenAI-Organization": self.openai_org_id, "OpenAI-Project": self.openai_project_id}
        return {name: value for name, value in told.items() if value}


def _origin(written: str) -> str:
    """An origin as browsers write it, whose words are compared."""
    scheme, found, rest = written.rstrip("/").lower().partition("://")
    if not found or not scheme or set(rest) & set("/?#@ ") or _named(rest) is None:
        raise ValueError(f"{written!r} is no origin; write it as https://app.example, or * for any")
    default = {"https": ":443", "http": ":80"}.get(scheme, "")
    return f"{scheme}://{rest.removesuffix(default) if default else rest}"


def _named(host: str) -> str | None:
    """The name in a host that may have a port; None where there is none."""
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
    """Every setting as a Markdown table; `docs/settings.md` is this, and a test keeps it so."""
    rows = ["| setting | default | what it is for |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        variable = str(field.validation_alias or f"HEADWATER_{name.upper()}")
        default = "the user's data directory" if name == "data_dir" else field.default
        rows.append(f"| `{variable}` | {'' if default in (None, []) else default} | {field.description} |")
    return "\n".join(rows) + "\n"
