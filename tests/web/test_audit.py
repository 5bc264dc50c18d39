"""The audit log: one line for each act, with who and what and from where, and nothing that is secret."""

import logging
from pathlib import Path
from typing import Any

import pytest
from serving import chat, headwater

from headwater.access.keyfile import KeyFile, Keys
from headwater.access.keys import generate, parse
from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted
from headwater.principal import Principal
from headwater.web.audit import Uses, note
from headwater.web.gate import Ways

ANN, OPERATOR, PROMPT = "ann-key-0001", "operator-key-0001", "a question that is nobody's business"


async def test_each_act_has_its_line(caplog: pytest.LogCaptureFixture) -> None:
    """In the order in which they happen; reading and asking have none but that of the key, once an hour."""
    caplog.set_level(logging.INFO, "headwater.audit")
    bearer = {"authorization": f"Bearer {ANN}"}
    revoked, written = generate("acme")
    keys = Keys(parse(f"acme:{ANN}"), KeyFile(Path("/nonexistent/keys.json")))
    async with headwater(Scripted([TextDelta("x"), Finish("stop")]), keys=keys, ways=Ways(OPERATOR)) as server:
        client = server.client

        async def send(method: str, path: str, **more: Any) -> Any:
            return await client.request(method, path, headers=more.pop("headers", bearer), **more)

        await send("GET", "/api/about", headers={"authorization": f"Bearer {written}"})
        await send("POST", "/login", data={"key": "wrong"}, headers={})
        await send("POST", "/login", data={"key": ANN}, headers={})
        await send("POST", "/logout", headers={})
        client.cookies.clear()
        log = (await send("POST", "/api/stream/completion/chat", json=chat(PROMPT))).headers["location"]
        await send("POST", f"{log}/stop")
        await send("DELETE", log)
        response = (await send("POST", "/v1/responses", json={"model": "", "input": PROMPT})).json()["id"]
        await send("POST", f"/v1/responses/{response}/cancel")
        await send("DELETE", f"/v1/responses/{response}")
        await send("PUT", "/api/conversations/mine-0001")
        await send("POST", "/api/conversations/mine-0001/share")
        await send("DELETE", "/api/conversations/mine-0001/share")
        await send("DELETE", "/api/conversations/mine-0001")
        await send("DELETE", "/api/conversations/never-0001")
        await send("DELETE", "/api/cache")
        await send("DELETE", "/api/operator/nothing?tenant=acme", headers={"authorization": f"Bearer {OPERATOR}"})
        await send("GET", "/api/operator/nothing")

    lines = [record for record in caplog.records if record.name == "headwater.audit"]
    log, response = log.rpartition("/")[2], response.removeprefix("resp_")
    told = [(line.__dict__["act"], line.__dict__["tenant"], line.__dict__["id"]) for line in lines]
    assert told == [
        ("key-refused", "", revoked.id),
        ("key-refused", "", ""),
        ("login", "acme", ""),
        ("logout", "acme", ""),
        ("key-used", "acme", ""),
        ("stop", "acme", log),
        ("delete", "acme", log),
        ("stop", "acme", response),
        ("delete", "acme", response),
        ("share", "acme", "mine-0001"),
        ("unshare", "acme", "mine-0001"),
        ("delete-conversation", "acme", "mine-0001"),
        ("purge", "acme", ""),
        ("operator", "", "DELETE /api/operator/nothing?tenant=acme"),
        ("key-refused", "", ""),
    ]
    assert all(line.__dict__["subject"] == "env1" for line in lines if line.__dict__["tenant"])
    assert all(line.__dict__["address"] == "127.0.0.1" for line in lines)
    assert lines[5].getMessage() == f'stop tenant="acme" subject="env1" id="{log}" address="127.0.0.1"'
    assert not any(secret in caplog.text for secret in (ANN, OPERATOR, PROMPT, written, "wrong"))


def test_no_name_looks_like_another_line(caplog: pytest.LogCaptureFixture) -> None:
    """An id comes from a client, and a subject may come from an app."""
    caplog.set_level(logging.INFO, "headwater.audit")
    note({"type": "http"}, "stop", id='x"\nstop tenant="other"')
    assert caplog.records[-1].getMessage() == 'stop id="x\\"\\nstop tenant=\\"other\\""'


def test_the_use_of_a_key_has_one_line_an_hour_for_each_address(caplog: pytest.LogCaptureFixture) -> None:
    """However many requests it makes; another address or another caller has its own."""
    caplog.set_level(logging.INFO, "headwater.audit")
    now = 0.0
    uses, ann, bob = Uses(lambda: now), Principal("acme", "ann"), Principal("acme", "bob")
    for address, who in [("192.0.2.1", ann), ("192.0.2.1", ann), ("192.0.2.2", ann), ("192.0.2.1", bob)]:
        uses.note({"client": (address, 1)}, who)
    now = 3600.0
    uses.note({"client": ("192.0.2.1", 2)}, ann)
    told = [(record.__dict__["subject"], record.__dict__["address"]) for record in caplog.records]
    assert told == [("ann", "192.0.2.1"), ("ann", "192.0.2.2"), ("bob", "192.0.2.1"), ("ann", "192.0.2.1")]
