"""The only reader of the environment: every setting, its default and what it is for."""

import difflib
import os
from typing import Any, Literal, Self

import msgspec
from dotenv import dotenv_values
from platformdirs import user_data_path
from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from headwater.answers.quota import Quota
from headwater.models.prefill import SETTINGS as PREFILLS
from headwater.options import (
    File,
    Folder,
    Hosts,
    Key,
    Limits,
    Names,
    Networks,
    Origins,
    Replay,
    Secret,
    Text,
    Ways,
    fault,
)

ENV_FILE = ".env"
OF_TOKENS = ("jwks_url", "jwt_secret", "jwt_algorithms", "jwt_audience", "jwt_issuer")
"""Settings that mean that JSON Web Tokens are taken: half of them must not leave a server open."""


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

    model: Text = Field(
        None,
        description="Model that answers: a LangChain name (`openai:gpt-4o-mini`), `openai-responses:…` (OpenAI's "
        "Responses API, whose runs outlive a broken connection), `local` or `echo`; "
        "default: `openai:gpt-4o-mini` with an OpenAI key or address, else `local`",
    )
    completion_model: Text = Field(
        None, description="Model of the completion route, `openai-completion:…`; default: the chat model"
    )
    allowed_models: Names = Field(
        [], description="Other models a request may name, comma-separated; `*`: any model of the provider"
    )
    store: Text = Field(
        None,
        description="`sqlite:///path`, `redis://…`, `rediss://…`, `redis+cluster://…`, `upstash:` or `memory:`; "
        "default: Upstash or Redis if their variables are set, else SQLite in the data directory",
    )
    data_dir: Folder = Field(
        default_factory=lambda: user_data_path("headwater"), description="Folder of the SQLite file and the demo model"
    )
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0: any free port")
    insecure: bool = Field(
        False, description="Let everybody in who reaches `HEADWATER_HOST`, also from other machines, if there is no key"
    )
    api_keys: Secret = Field(
        None, description="API keys, `tenant:key`, comma-separated; a key alone is of the tenant `default`"
    )
    keys_file: File = Field(
        None,
        description="File of the keys that `headwater keys create` makes; default: `keys.json` in the data directory",
    )
    operator_key: Key = Field(
        None, description="Key of the operator's routes, `/metrics` and `/api/operator/…`; it names no tenant"
    )
    jwks_url: Text = Field(
        None, description="Address of the identity provider's public keys (JWKS), which verify JSON Web Tokens"
    )
    jwt_secret: Secret = Field(
        None, description="Secret that verifies JSON Web Tokens (HMAC), in place of `HEADWATER_JWKS_URL`"
    )
    jwt_algorithms: Names = Field(
        [],
        description="Algorithms of tokens that are taken, comma-separated; default: `RS256,ES256,EdDSA` with public "
        "keys, `HS256` with a secret",
    )
    jwt_audience: Text = Field(None, description="What a token's `aud` must name; required with tokens")
    jwt_issuer: Text = Field(None, description="What a token's `iss` must be; default: any issuer with the key")
    jwt_tenant_claim: str = Field("tenant", min_length=1, description="Claim of a token that names the tenant")
    jwt_subject_claim: str = Field("sub", min_length=1, description="Claim of a token that names the subject")
    forwarded_user: Literal["off", "field", "header", "signed"] = Field(
        "off",
        description="Where the holder of a key names a user of its tenant: `field`: in the body (`/v1/…`), `header`: "
        "in `X-OpenWebUI-User-Id`, `signed`: in `X-OpenWebUI-User-Jwt`",
    )
    forwarded_user_secret: Secret = Field(None, description="Secret that verifies the signed user of a key's holder")
    api_key: Key = Field(None, description="API key that `headwater ask` and `headwater tail` send")
    hosts: Hosts = Field(
        [],
        description="Other host names the server answers to (`Host`), comma-separated, beside addresses, `localhost` "
        "and this machine's own name; `*`: any",
    )
    proxies: Networks = Field(
        [],
        description="Addresses or networks of the proxies whose `X-Forwarded-*` headers are believed, comma-separated",
    )
    origins: Origins = Field(
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
    stale_while_revalidate: float = Field(
        0, ge=0, description="Time past its TTL for which an answer is still replayed while it is renewed"
    )
    stale_if_error: float = Field(
        0, ge=0, description="Time past its TTL for which an answer is replayed where its model fails"
    )
    refresh: float = Field(
        0, ge=0, description="Time before the end of its TTL in which an answer that is asked often is renewed; 0: none"
    )
    pins: bool = Field(
        False, description="Whether the operator pins answers to questions; each server looks for pins every 5 s"
    )
    match: Literal["exact", "form"] = Field(
        "exact",
        description="Which questions an answer is replayed to: `exact`: the same one; `form`: also one that differs in "
        "spelling, case, greeting or punctuation alone, where that can mean nothing (docs/concepts.md)",
    )
    replay: Replay = Field(
        "instant",
        description="How fast a stored answer is sent: `instant`, `original` (with the pauses of its first run) or a "
        "number of tokens per second; a request may choose by `?pace=`",
    )
    secret: Secret = Field(
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
    continue_by: Ways = Field(
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
    request_timeout: float = Field(
        20,
        ge=0.1,
        description="Time within which a request's headers must arrive, and then 16 KiB of its body each time",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Form of the server's log: lines for people, or one JSON object a line"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level of what is logged")
    access_log: bool = Field(False, description="Log each request that is answered")
    otlp_endpoint: str | None = Field(
        None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="Address to which traces are sent by OTLP over HTTP, e.g. `http://127.0.0.1:4318`; needs "
        "`headwater[otel]`",
    )
    max_body: int = Field(4 * 1024 * 1024, gt=0, description="Maximum size of a request body, in bytes")
    max_messages: int = Field(0, ge=0, description="Maximum number of messages in a request; 0: any")
    max_message: int = Field(0, ge=0, description="Maximum size of a message, in bytes of JSON; 0: any")
    max_log: int = Field(16 * 1024 * 1024, ge=65_536, description="Maximum size of an answer with its events, in bytes")
    requests_per_minute: int = Field(0, ge=0, description="Requests of a tenant in a minute; 0: no limit")
    tokens_per_minute: int = Field(
        0, ge=0, description="Tokens of a tenant's answers in a minute, input and output; 0: no limit"
    )
    tokens_per_day: int = Field(
        0, ge=0, description="Tokens of a tenant's answers in a day, which begins at midnight UTC; 0: no limit"
    )
    cost_per_day: float = Field(
        0, ge=0, description="US dollars that a tenant's answers may cost in a day; 0: no limit"
    )
    generations: int = Field(0, ge=0, description="Answers generated for a tenant at once, on all servers; 0: no limit")
    limits: Limits = Field(
        {},
        description="Other numbers for single tenants: `acme:requests_per_minute=60;generations=4`, comma-separated",
    )
    max_generations: int = Field(
        0, ge=0, description="Answers that one server process generates at once; others get 503; 0: no limit"
    )
    streams: int = Field(
        0, ge=0, description="Open responses of one server process that send or await an answer; 0: no limit"
    )
    streams_per_client: int = Field(
        0, ge=0, description="Open responses of one client: a key, a user of your app, or else an address; 0: no limit"
    )
    webhook: Text = Field(None, description="Address that gets a signed POST when an answer ends")
    webhook_secret: Secret = Field(
        None, description="Secret that signs webhooks (Standard Webhooks), `whsec_…` or a text of 24 bytes or more"
    )
    webhook_for: Literal["background", "unread", "all"] = Field(
        "unread",
        description="Answers that `HEADWATER_WEBHOOK` hears of: `background`: those that a client asked for in the "
        "background, `unread`: also those that no client reads as they end, `all`: all",
    )
    webhook_text: bool = Field(False, description="Send the answer's text with a webhook")
    webhook_hosts: Names = Field(
        [],
        description="Hosts that a request may name in its `Headwater-Webhook`, comma-separated, also private ones; "
        "`*.example.com`, `*`: any, with a public address",
    )
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
    openai_api_key: Key = Field(None, validation_alias="OPENAI_API_KEY", description="OpenAI API key")
    openai_base_url: Text = Field(
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
    openai_org_id: Text = Field(
        None, validation_alias="OPENAI_ORG_ID", description="OpenAI organisation that is billed"
    )
    openai_project_id: Text = Field(
        None, validation_alias="OPENAI_PROJECT_ID", description="OpenAI project that is billed"
    )
    openai_proxy: Secret = Field(
        None, validation_alias="OPENAI_PROXY", description="HTTP proxy for OpenAI; default: `https_proxy`, if set"
    )
    prices: File = Field(
        None,
        description="JSON file of prices in US dollars per million tokens, by model name or pattern; default: those of "
        "the package genai-prices, if it is installed (`headwater[prices]`)",
    )

    redis_url: Secret = Field(None, validation_alias="REDIS_URL", description="Redis to use if no store is named")
    upstash_redis_rest_url: Text = Field(
        None, validation_alias="UPSTASH_REDIS_REST_URL", description="REST URL of an Upstash database"
    )
    upstash_redis_rest_token: Secret = Field(
        None, validation_alias="UPSTASH_REDIS_REST_TOKEN", description="Token of that database, the one that may write"
    )

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except PermissionError as error:
            raise fault(".env", "this user may not read it; make it readable, or start in another folder") from error
        except RuntimeError as error:  # such as a user whom a container's system does not know
            raise fault("data_dir", "this user has no home directory; set HEADWATER_DATA_DIR to a folder") from error

    @field_validator("limits")
    @classmethod
    def _limits(cls, value: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for tenant, limits in value.items():
            try:
                msgspec.convert(limits, Quota, strict=False)
            except msgspec.ValidationError as error:
                names = ", ".join(Quota.__struct_fields__)
                raise ValueError(f"of {tenant}: {error}; there are {names}") from error
        return value

    @field_validator("prefill")
    @classmethod
    def _prefill(cls, value: list[str]) -> list[str]:
        for entry in value:
            if entry.rpartition("=")[2] not in PREFILLS:
                raise ValueError(f"{entry!r} names no way to go on with an answer; the ways are {', '.join(PREFILLS)}")
        return value

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if self.credentials and {"*", "null"} & {*self.origins}:
            raise ValueError("credentials are for origins that are named; origins holds * or null, which any page has")
        return self

    @property
    def takes_tokens(self) -> bool:
        """Whether JSON Web Tokens are taken, or are meant to be."""
        return any(getattr(self, name) for name in OF_TOKENS)

    def openai_headers(self) -> dict[str, str]:
        """The request headers that name the billed organisation and project, as OpenAI's own client sends them."""
        headers = {"OpenAI-Organization": self.openai_org_id, "OpenAI-Project": self.openai_project_id}
        return {name: value for name, value in headers.items() if value}


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


def unknown_variables() -> dict[str, str | None]:
    """The variables that look like settings and are none, each with the setting that was perhaps meant."""
    known = {
        str(field.validation_alias or f"HEADWATER_{name}").upper() for name, field in Settings.model_fields.items()
    }
    found = {name.upper() for name in (*os.environ, *dotenv_values(ENV_FILE, encoding=None))}
    unknown = sorted(name for name in found - known if name.startswith("HEADWATER_"))
    return {name: next(iter(difflib.get_close_matches(name, known, 1)), None) for name in unknown}


def table() -> str:
    """Every setting as a Markdown table: the content of `docs/settings.md`, which a test compares."""
    rows = ["| setting | default | purpose |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        variable = str(field.validation_alias or f"HEADWATER_{name.upper()}")
        default = "the user's data directory" if name == "data_dir" else field.default
        if isinstance(default, list):
            default = ",".join(default)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        elif isinstance(default, bool):
            default = str(default).lower()
        rows.append(f"| `{variable}` | {'' if default in (None, {}) else default} | {field.description} |")
    return "\n".join(rows) + "\n"
