"""The server's log: one JSON object a line where it is asked for, and never a prompt or a secret, in either form."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from servers import serve
from serving import post_chat
from upstream import Upstream

from headwater.cli.logs import JsonLines, Lines, secrets_of
from headwater.observe import CONCERN, Concern
from headwater.prompt import Message, Prompt
from headwater.settings import Settings

CANARY = "my canary sings at 5:17"
KEY, OPERATOR, PROVIDER = "acme-key-canary-1", "operator-key-canary-1", "sk-canary-0123456789"
PASSWORD = "canary-of-the-store"


def lines(text: str) -> list[dict[str, Any]]:
    """The records of a log; every line has to be one."""
    return [json.loads(line) for line in text.splitlines() if line]


@pytest.mark.parametrize("form", ["json", "text"])
async def test_no_prompt_and_no_secret_is_logged_whatever_fails(form: str, tmp_path: Path, capfd: Any) -> None:
    """Not by 401s, failures of the provider that quote both, bugs, stops, the access log or the operator."""
    quoting = {"message": f"you said '{CANARY}' with key {PROVIDER}", "type": "x"}
    async with Upstream(status=400, error=quoting) as upstream:
        settings = {
            "OPENAI_API_KEY": PROVIDER,
            "OPENAI_BASE_URL": upstream.url,
            "HEADWATER_API_KEYS": f"acme:{KEY}",
            "HEADWATER_OPERATOR_KEY": OPERATOR,
            "HEADWATER_LOG_FORMAT": form,
            "HEADWATER_LOG_LEVEL": "debug",
            "HEADWATER_ACCESS_LOG": "true",
        }
        async with serve(tmp_path, **settings) as server:
            bearer = {"authorization": f"Bearer {KEY}"}
            failed = await post_chat(server.client, CANARY, **bearer)
            await post_chat(server.client, CANARY, authorization=f"Bearer wrong-{KEY}")
            await server.client.get(f"/api/streams/nothing?after=1-1&key={KEY}", headers=bearer)
            await server.client.get(f"/api/shared/{KEY}")
            await server.client.get("/metrics", headers={"authorization": f"Bearer {OPERATOR}"})
            await server.client.post("/api/stream/completion/chat", content=CANARY, headers=bearer)
            said = server.said
    log = said + capfd.readouterr().err

    assert failed.status_code == 422
    for secret in (CANARY, KEY, OPERATOR, PROVIDER):
        assert secret not in log
    if form == "text":
        assert '"GET /metrics HTTP/1.1" 200' in log
        return
    records = lines(log)
    accesses = [each for each in records if each["logger"] == "uvicorn.access"]
    assert {"time", "level", "message"} <= records[0].keys()
    assert {("GET", "/metrics", 200), ("GET", "/api/streams/nothing", 404)} <= {
        (each["method"], each["path"], each["status"]) for each in accesses
    }
    (failure,) = [each for each in records if "a request for answer" in each["message"]]
    assert (failure["level"], failure["tenant"]) == ("warning", "acme")
    assert failure["stream"] in failure["message"]
    audits = {each["act"] for each in records if each["logger"] == "headwater.audit"}
    assert "key-refused" in audits


@pytest.fixture
def record() -> Any:
    """Makes a record as a logger does."""

    def make(message: str, *args: object, fails: KeyError | None = None, **extra: object) -> logging.LogRecord:
        info = None
        if fails is not None:
            try:
                raise fails
            except KeyError:
                info = sys.exc_info()
        made = logging.LogRecord("headwater.x", logging.ERROR, __file__, 1, message, args, info)
        made.__dict__.update(extra)
        return made

    return make


def test_a_record_has_the_fields_of_whoever_logged_it(record: Any) -> None:
    """And those that are no JSON as text."""
    line = json.loads(JsonLines().format(record("saved %s", "x", act="stop", where=Path("/tmp"), count=3)))

    assert line["message"] == "saved x"
    assert (line["act"], line["where"], line["count"]) == ("stop", "/tmp", 3)
    assert "stream" not in line


@pytest.mark.parametrize("url", ["redis://u:{}@h:1/2", "redis://h/0?password={}", "unix:///r.sock?password={}&db=1"])
def test_the_password_of_a_store_is_logged_nowhere(url: str) -> None:
    """In whichever part of its URL it stands."""
    store = url.format(PASSWORD)
    line = Lines(secrets_of(Settings(store=store))).clean(f"{store} broke")

    assert PASSWORD not in line
    assert line.endswith(" broke")


@pytest.mark.parametrize("form", [Lines, JsonLines])
def test_a_traceback_quotes_neither_the_prompt_nor_a_secret(form: type[Lines], record: Any) -> None:
    """Whole messages, and what stands in quotes and comes from one."""
    prompt = Prompt(model="small", messages=[Message("user", f"{CANARY}, it said to me")])
    token = CONCERN.set(Concern("log-1", "acme", prompt))
    try:
        whole = form([KEY]).format(record("broke", fails=KeyError(f"{CANARY}, it said to me", KEY)))
        part = form([KEY]).format(record("bad request: '%s'", CANARY))
    finally:
        CONCERN.reset(token)

    assert CANARY not in whole + part
    assert KEY not in whole
    assert "KeyError" in whole
    assert "test_server_log.py" in whole
