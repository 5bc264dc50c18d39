"""`/metrics`: what a scrape says about answers, and that no token costs a call."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest
from conversing import settled
from prometheus_client.parser import text_string_to_metric_families
from serving import Headwater, chat, headwater, post_chat, until

from headwater.answer import Answer
from headwater.answers.claim import Caching
from headwater.answers.generation import Timeouts
from headwater.errors import ModelError
from headwater.events import Continued, Finish, TextDelta, Usage
from headwater.models.scripted import SILENCE, Scripted
from headwater.observe import Made, Observer, Observers, Request
from headwater.principal import Principal
from headwater.prompt import Message, Prompt
from headwater.telemetry.metrics import MOST, Metrics
from headwater.telemetry.names import provider
from headwater.web.response import Pace

USED = Usage(10, 5, {"input_token_details": {"cache_read": 4}, "output_token_details": {"reasoning": 2}})
HELLO = Scripted([TextDelta("Hel"), TextDelta("lo"), Finish("stop", USED)], name="openai:small")


@asynccontextmanager
async def metered(model: Scripted, caching: Caching | None = None) -> AsyncGenerator[tuple[Headwater, Metrics]]:
    """A server that counts."""
    metrics, pace = Metrics(), Pace(heartbeat=0.05)  # which finds a client that has left
    async with headwater(model, metrics=metrics, timeouts=Timeouts(retries=1), pace=pace, caching=caching) as server:
        yield server, metrics


async def scraped(server: Headwater) -> dict[str, float]:
    """Every sample of a scrape, by its name and its labels' values."""
    text = (await server.client.get("/metrics")).raise_for_status().text
    return {
        " ".join((sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "le"))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_scrape_counts_requests_by_how_they_met_the_cache_and_tokens_by_kind() -> None:
    """A hit costs no tokens; the cached ones are a part of the input."""
    async with metered(HELLO) as (server, _):
        for words in ("", "", "no-store"):
            await post_chat(server.client, **{"cache-control": words})
        found = await scraped(server)
        stats = (await server.client.get("/api/operator/cache")).json()["tenants"]

    outcomes = {words: found[f"headwater_requests_total {words} default"] for words in ("miss", "hit", "bypass")}
    tokens = {
        kind: found[f"headwater_tokens_total {kind} openai:small default"]
        for kind in ("input", "cached", "output", "reasoning")
    }
    assert outcomes == {"miss": 1, "hit": 1, "bypass": 1}
    assert tokens == {"input": 20, "cached": 8, "output": 10, "reasoning": 4}
    assert found["headwater_generations_total openai:small finished default"] == 2
    for what in ("time_to_first_token", "time_per_output_token", "request_duration"):
        assert found[f"gen_ai_server_{what}_seconds_count chat openai small default"] == 2, what
    assert found["headwater_saved_tokens_total default"] == 15
    assert found["headwater_store_flush_seconds_count"] >= 2
    (row,) = stats
    assert (row["tenant"], row["requests"]) == ("default", {"miss": 1, "hit": 1, "bypass": 1})
    assert (row["tokens"]["input"], row["cost"]) == (20, None)
    assert (row["saved"]["tokens"], row["saved"]["cost"]) == (15, None)


async def test_hits_of_another_wording_are_counted_apart() -> None:
    """They are hits like all others, too."""
    async with metered(HELLO, Caching(match="form")) as (server, _):
        for words in ("Is it cold?", "is it cold", "Is it cold?"):
            await post_chat(server.client, words)
        found = await scraped(server)

    assert found["headwater_requests_total hit default"] == 2
    assert found["headwater_form_matches_total default"] == 1


async def test_questions_in_conversations_are_counted_like_all_others() -> None:
    """What a hit and a join have saved, once each, however often they are read; and refusals."""
    gate = asyncio.Event()
    async with metered(Scripted([TextDelta("Hel"), gate, TextDelta("lo"), Finish("stop", USED)])) as (server, _):

        async def ask(chat: str, content: str = "Hi") -> httpx.Response:
            return await server.client.post(f"/api/conversations/{chat}/messages", json={"content": content})

        first, joined = await ask("conv-0001"), await ask("conv-0002")
        busy = await ask("conv-0001")
        gate.set()
        for each in (first, joined):
            await server.client.get(each.json()["answer"]["location"])
        hit = await ask("conv-0003")
        await server.client.get(hit.json()["answer"]["location"])
        streamed = await server.client.post(
            "/api/conversations/conv-0004/messages", json={"content": "Hi"}, headers={"accept": "text/event-stream"}
        )
        await until(lambda: not server.answers.running, "the answer has ended")
        await settled(server.client, "conv-0002")
        found = await scraped(server)

    assert (busy.status_code, streamed.status_code) == (409, 200)
    assert found["headwater_saved_tokens_total default"] == 45
    assert found["headwater_refusals_total busy"] == 1


async def test_failures_refusals_and_retries_are_counted_by_their_code() -> None:
    """A question that begins no answer, the retry before the first token, the error that an answer ends with."""
    refusing = ModelError("full", code="rate_limited", retryable=True, retry_after=0.0)
    async with metered(Scripted([refusing], name="small")) as (server, _):
        await post_chat(server.client)
        await server.client.post("/api/stream/completion/chat", json={"messages": []})
        found = await scraped(server)

    assert found["headwater_retries_total small"] == 1
    assert found["headwater_refusals_total invalid_prompt"] == 1
    assert found["headwater_failures_total rate_limited small"] == 1
    assert found["headwater_generations_total small failed default"] == 1


async def test_gauges_show_what_runs_now_and_the_operator_sees_which_answers() -> None:
    """Without anything that is said in them."""
    async with metered(Scripted([TextDelta("secret"), SILENCE], name="small")) as (server, metrics):
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat("a secret")) as response:
            assert response.status_code == 200
            during = await scraped(server)
            shown = (await server.client.get("/api/operator/streams")).json()
        await until(lambda: not metrics.readers["native"], "the reader has left")
        after = await scraped(server)

    assert during["headwater_generations_running default"] == 1
    assert during["headwater_open_readers native"] == 1
    assert after["headwater_open_readers native"] == 0
    (stream,) = shown["streams"]
    assert (stream["state"], stream["model"], stream["readers"]) == ("streaming", "small", 1)
    assert "secret" not in str(shown)
    assert {"host", "process", "version"} <= shown["server"].keys()


async def test_an_answer_that_goes_on_after_a_break_is_counted_at_its_seam() -> None:
    """By the cause of the break."""
    observers, seam = Metrics(), Continued("provider", "prefill", "1-3")
    observers.continued(request("acme", "small"), seam)
    assert (
        observers.registry.get_sample_value("headwater_continued_total", {"model": "small", "cause": "provider"}) == 1
    )


def request(tenant: str, model: str) -> Request:
    """A request of a tenant."""
    return Request("log", Principal(tenant, "me"), Prompt(messages=[Message("user", "Hi")], model=model), "miss")


def test_tenants_beyond_the_limit_share_a_label() -> None:
    """So that no scrape grows with the number of tenants."""
    metrics = Metrics()
    for number in range(MOST + 20):
        metrics.claimed(request(f"tenant{number}", "small"))

    def counted(tenant: str) -> float | None:
        return metrics.registry.get_sample_value("headwater_requests_total", {"tenant": tenant, "outcome": "miss"})

    assert (counted("tenant0"), counted("tenant110"), counted("other")) == (1, None, 20)


def test_what_a_token_took_is_derived_from_the_first_and_the_last() -> None:
    """An answer of 11 tokens, whose first came after 1 s and whose last after 2 s: 0.1 s each."""
    metrics = Metrics()
    metrics.made(request("acme", "small"), Made(Finish("stop", Usage(1, 11)), 99, 1.0, 2.0, 2.5))
    labels = {"tenant": "acme", "gen_ai_operation_name": "chat", "gen_ai_provider_name": "headwater"}
    name = "gen_ai_server_time_per_output_token_seconds_sum"
    assert metrics.registry.get_sample_value(name, {**labels, "gen_ai_request_model": "small"}) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("model", "named"), [("openai-responses:o", "openai"), ("mistralai:m", "mistral_ai"), ("echo", "headwater")]
)
def test_a_provider_has_its_name_in_the_conventions(model: str, named: str) -> None:
    """From the model's name."""
    assert provider(model) == named


async def test_only_an_observer_that_wants_whole_answers_makes_them_be_read() -> None:
    """The fold of an answer costs a call for each of its tokens."""

    class Wants(Observer):
        async def ended(self, request: Request, answer: Answer) -> None:
            pass

    assert not Observers([Metrics()]).want_answers
    assert Observers([Metrics(), Wants()]).want_answers


async def test_requests_that_join_a_running_answer_save_what_it_took() -> None:
    """Counted where it ends: its tokens, once for each of them."""
    gate = asyncio.Event()
    async with metered(Scripted([TextDelta("a"), gate, Finish("stop", USED)], name="small")) as (server, metrics):
        asking = [asyncio.create_task(post_chat(server.client)) for _ in range(3)]
        await until(lambda: metrics.readers["native"] == 3, "all three read")
        gate.set()
        await asyncio.gather(*asking)
        found = await scraped(server)

    assert found["headwater_requests_total joined default"] == 2
    assert found["headwater_saved_tokens_total default"] == 2 * 15


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", "application/openmetrics-text"),
        ("application/openmetrics-text; version=abc", "text/plain"),
        ("*/*", "text/plain"),
    ],
)
async def test_a_scraper_gets_a_form_that_it_accepts(accept: str, form: str) -> None:
    """Also one that writes no version that there is."""
    async with metered(HELLO) as (server, _):
        await post_chat(server.client)
        response = await server.client.get("/metrics", headers={"accept": accept})
        head = await server.client.head("/metrics")

    assert response.headers["content-type"].startswith(form)
    assert 'headwater_requests_total{outcome="miss",tenant="default"} 1.0' in response.text
    assert head.status_code == 200
