"""The server's log on standard error: lines of text or of JSON, in which no prompt and no secret stands."""

import json
import logging
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from pydantic import SecretStr

from headwater.observe import CONCERN
from headwater.prompt import Prompt, text_of
from headwater.settings import Settings
from headwater.wiring.stores import url_of

_STANDARD = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "color_message", "taskName"}
"""The fields of a record that are no fields of the one who logs."""
_QUOTED = re.compile(r"""(["'`])(.{6,}?)\1""", re.DOTALL)
_SHARED = re.compile(r"(/api/shared/|/shared#?/?|/join/?)[^/?\s\"]+")
"""Addresses whose last part is a right in itself."""
_PASSWORDS = (r"//[^/@]*?:([^/@]+)@", r"[?&]password=([^&#]+)")
"""Where the URL of a store may have one."""
ACCESS = "uvicorn.access"
SHORTEST = 6
"""Characters of a secret, or of a message, that is looked for in a line; anything shorter would be found by chance."""


def configure(settings: Settings) -> None:
    """Write the log of this process as the settings have it. Called again, it changes nothing."""
    handler = logging.StreamHandler()
    secrets = sorted(secrets_of(settings), key=len, reverse=True)
    handler.setFormatter((JsonLines if settings.log_format == "json" else Lines)(secrets))
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    # Debugging is of Headwater only: the packages of providers would write down whole requests.
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler])
    logging.getLogger("headwater").setLevel(level)
    if settings.access_log:
        logging.getLogger(ACCESS).setLevel(logging.INFO)
    for chatty in ("httpx", "httpx2", "openai"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, level))


class Lines(logging.Formatter):
    """The log for people; in a terminal, errors are red."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._secrets = list(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The record in one line, followed by its traceback if it has one."""
        line = self.clean(super().format(_without_query(record)))
        return f"\x1b[1;31m{line}\x1b[0m" if record.levelno >= logging.ERROR and sys.stderr.isatty() else line

    def clean(self, text: str) -> str:
        """The text without secrets, and without what it quotes of the prompt that is answered."""
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        text = _SHARED.sub(r"\1[secret]", text)
        concern = CONCERN.get()
        return text if concern is None or concern.prompt is None else _without(text, concern.prompt)


class JsonLines(Lines):
    """The log for programs: one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record with its time, its logger, the answer it is about, and every field of whoever logged it."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": at, "level": record.levelname.lower(), "logger": record.name}
        line["message"] = self.clean(_without_query(record).getMessage())
        if (concern := CONCERN.get()) is not None:
            line |= {"stream": concern.log, "tenant": concern.tenant}
        if record.name == ACCESS and isinstance(record.args, tuple):
            fields = zip(("address", "method", "path", "version", "status"), record.args, strict=True)
            line |= {name: self.clean(value) if isinstance(value, str) else value for name, value in fields}
        for name, value in record.__dict__.items():
            if name not in _STANDARD:
                line[name] = self.clean(value) if isinstance(value, str) else value
        if record.exc_info:
            line["exception"] = self.clean(self.formatException(record.exc_info))
        return json.dumps(line, default=lambda value: self.clean(str(value)))


def _without_query(record: logging.LogRecord) -> logging.LogRecord:
    """The record; one of the access log without what follows the path, which may hold anything."""
    if record.name == ACCESS and isinstance(record.args, tuple) and len(record.args) == 5:
        address, method, path, version, status = record.args
        record.args = address, method, str(path).partition("?")[0], version, status
    return record


def _without(text: str, prompt: Prompt) -> str:
    """The text without the messages of a prompt, and without what stands in quotes in it and in one of them."""
    said = [message for each in prompt.messages if len(message := text_of(each)) >= SHORTEST]
    for message in said:
        for form in (message, repr(message)[1:-1], json.dumps(message)[1:-1]):
            text = text.replace(form, "[prompt]")

    def quoted(found: re.Match[str]) -> str:
        mark, inner = found[1], found[2]
        return f"{mark}[prompt]{mark}" if any(inner in message for message in said) else found[0]

    return _QUOTED.sub(quoted, text)


def secrets_of(settings: Settings) -> Iterator[str]:
    """What no line may hold: the secrets of the settings, each key of a list, and the passwords in addresses."""
    written = [getattr(settings, name) for name in type(settings).model_fields]
    values = [each.get_secret_value() for each in written if isinstance(each, SecretStr)]
    for value in (*values, url_of(settings), settings.openai_base_url or ""):
        entries = [entry.strip() for entry in value.split(",")] if value in values else []  # `tenant:key, …`
        passwords = (re.findall(form, value) for form in _PASSWORDS)
        for part in (*entries, *(entry.partition(":")[2] for entry in entries), *chain(*passwords)):
            if len(part) >= SHORTEST:
                yield part
