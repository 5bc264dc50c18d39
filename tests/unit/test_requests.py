"""Request bodies: whatever bytes a stranger sends become a prompt or an error that names the mistake."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.cache.key import fingerprint
from headwater.dialects.native import request as native
from headwater.errors import InvalidPrompt, RequestError
from headwater.models.openai.request import body as openai_body
from headwater.prompt import (
    Audio,
    File,
    Image,
    Message,
    MessageToolCall,
    Parameters,
    Part,
    Prompt,
    ProviderPart,
    ProviderTool,
    Text,
    Tool,
    text_of,
)

JSON = dict[str, Any]
PNG = "data:image/png;base64,AA=="

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(
    ["messages", "message", "prompt", "role", "content", "model", "temperature", "max_tokens", "stop", "tools", "seed"]
)
words = st.sampled_from(["type", "text", "url", "data", "media_type", "function", "name", "arguments", "args", "id"])
kinds = st.sampled_from(["text", "image", "image_url", "input_audio", "audio", "file", "provider", "function"])


def shaped(kind: str, other: JSON, nested: Any) -> JSON:
    return {**other, "type": kind, **({kind: nested} if nested is not None else {})}


nearly: st.SearchStrategy[JSON] = st.builds(
    shaped, kinds, st.dictionaries(words, values, max_size=3), st.none() | st.dictionaries(words, values, max_size=3)
)
"""Parts, calls and tools as a client might write them after half of the documentation."""
messages = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "user", "assistant", "tool", "wizard"]),
            "content": values | st.lists(nearly, max_size=2),
        },
        optional={"tool_calls": values | st.lists(nearly, max_size=2)},
    ),
    max_size=3,
)


def chat(body: bytes) -> Prompt:
    return native.chat(body).prompt


def completion(body: bytes) -> Prompt:
    return native.completion(body).prompt


def key(prompt: Prompt) -> str:
    return fingerprint(prompt, tenant="t", upstream="u", secret=b"s")


def parsed(part: Any, **fields: Any) -> Prompt:
    """The prompt of a chat whose only message has this part, or these fields."""
    return chat(json.dumps({"messages": [{"role": "user", "content": [part], **fields}]}).encode())


def read(body: bytes) -> None:
    """Both routes on one body: a prompt that can be keyed, or our own kind of error."""
    for route in (chat, completion):
        try:
            prompt = route(body)
        except RequestError as error:
            clear = str(error) != "" and 400 <= error.status < 500
        else:
            clear = bool(prompt.messages) and len(key(prompt)) == 64
        assert clear


@given(st.binary(max_size=200))
def test_any_bytes_are_a_prompt_or_a_clear_error(body: bytes) -> None:
    """No other exception escapes."""
    read(body)


@given(st.dictionaries(fields, values | st.lists(nearly, max_size=2), max_size=5), messages)
def test_any_json_is_a_prompt_or_a_clear_error(body: JSON, conversation: list[JSON]) -> None:
    """Fields of the right name and the wrong type most of all."""
    read(json.dumps({"messages": conversation, **body}).encode())
    read(json.dumps({**body, "messages": conversation}).encode())


def test_a_chat_is_read_field_by_field() -> None:
    """Known fields have their place, unknown ones travel as `extra`, others are carried or left out."""
    body = {
        "messages": [{"role": "user", "content": "Hi", "id": "m1"}],
        "model": "m",
        "temperature": 0,
        "stop": ".",
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "reasoning_effort": "low",
        "stream": True,
        "conversation_id": "c",
        "user": "ann",
        "service_tier": None,
    }

    assert chat(json.dumps(body).encode()) == Prompt(
        model="m",
        messages=[Message("user", "Hi")],
        parameters=Parameters(temperature=0, stop=["."]),
        tools=[Tool("f")],
        extra={"reasoning_effort": "low"},
        carried={"user": "ann"},
    )


# ---- Parts, calls and tools: OpenAI's shape, the neutral one, and what both become

PARTS: list[tuple[JSON, JSON, Part]] = [
    ({"type": "text", "text": "x"}, {"type": "text", "text": "x"}, Text("x")),
    (
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "image", "data": "AA==", "media_type": "image/png"},
        Image(data="AA==", media_type="image/png"),
    ),
    (
        {"type": "image_url", "image_url": {"url": "https://x.example/y", "detail": "low"}},
        {"type": "image", "url": "https://x.example/y", "detail": "low"},
        Image(url="https://x.example/y", detail="low"),
    ),
    (
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "audio", "data": "AA==", "media_type": "audio/wav"},
        Audio(data="AA==", media_type="audio/wav"),
    ),
    (
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
        {"type": "audio", "data": "AA==", "media_type": "audio/mpeg"},
        Audio(data="AA==", media_type="audio/mpeg"),
    ),
    (
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
        {"type": "file", "data": "AA==", "media_type": "application/pdf", "name": "a.pdf"},
        File(data="AA==", media_type="application/pdf", name="a.pdf"),
    ),
    ({"type": "file", "file": {"file_data": "AA=="}}, {"type": "file", "data": "AA=="}, File(data="AA==")),
    ({"type": "file", "file": {"file_id": "f1"}}, {"type": "file", "id": "f1"}, File(id="f1")),
    (
        {"type": "file", "file": {"file_data": "https://x.example/a.pdf"}},
        {"type": "file", "url": "https://x.example/a.pdf"},
        File(url="https://x.example/a.pdf"),
    ),
]


@pytest.mark.parametrize(("openai", "neutral", "part"), PARTS, ids=lambda form: str(form)[:40])
def test_a_part_is_the_same_in_either_shape(openai: JSON, neutral: JSON, part: Part) -> None:
    """One struct and one key; OpenAI is sent the very words that its own shape had."""
    prompts = [parsed(openai), parsed(neutral)]
    for prompt in prompts:
        assert prompt == Prompt(model="", messages=[Message("user", [part])])
        assert openai_body(prompt, "chat", "m", {})["messages"] == [{"role": "user", "content": [openai]}]
    assert key(prompts[0]) == key(prompts[1])


def test_a_data_url_is_data_also_in_the_neutral_shape() -> None:
    """A picture has one form, however it was written."""
    assert parsed({"type": "image", "url": PNG}) == parsed({"type": "image", "data": "AA==", "media_type": "image/png"})
    assert Image.at(PNG) == Image(data="AA==", media_type="image/png")


@pytest.mark.parametrize(
    "shape",
    [
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": "https://x.example/y"},
        {"type": "image_url", "image_url": {"url": PNG, "crop": 1}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mpeg"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
        {"type": "image", "base64": "AA==", "mime_type": "image/png"},
        {"cachePoint": {"type": "default"}},
    ],
    ids=str,
)
def test_a_part_in_a_providers_own_shape_is_passed_on_as_it_is(shape: JSON) -> None:
    """Written outright, or as the part that names it."""
    part = ProviderPart(shape)
    assert parsed(shape).messages == parsed({"type": "provider", "data": shape}).messages == [Message("user", [part])]
    assert openai_body(parsed(shape), "chat", "m", {})["messages"][0]["content"] == [shape]


def test_the_text_of_a_message_is_that_of_every_text_part() -> None:
    """Whatever else a provider attaches to it."""
    opaque = ProviderPart({"type": "text", "text": "b", "cache_control": {}})
    assert text_of(Message("user", [Text("a"), Image(url="https://x.example"), opaque, Text("c")])) == "abc"


@pytest.mark.parametrize(
    "call",
    [
        {"id": "c1", "type": "function", "index": 0, "function": {"name": "f", "arguments": '{"a": "é"}'}},
        {"id": "c1", "name": "f", "arguments": '{"a": "é"}'},
        {"id": "c1", "type": "tool_call", "name": "f", "args": {"a": "é"}},
        {"id": "c1", "function": {"name": "f", "arguments": {"a": "é"}}},
    ],
    ids=["OpenAI's", "neutral", "LangChain's", "Ollama's"],
)
def test_a_tool_call_is_the_same_in_every_shape(call: JSON) -> None:
    """Arguments become JSON text, as the model wrote it."""
    body = {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]}
    prompt = chat(json.dumps(body).encode())
    assert prompt.messages == [Message("assistant", tool_calls=[MessageToolCall("c1", "f", '{"a": "é"}')])]
    sent = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": "é"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [sent]}
    assert openai_body(prompt, "chat", "m", {})["messages"] == [message]


ASKED: JSON = {"role": "user", "content": "Hi"}
CALLED: JSON = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize("content", ["", [], None])
def test_a_tool_may_return_nothing(content: Any) -> None:
    """That is a result too, and the same one however it is written."""
    body = {"messages": [{"role": "tool", "tool_call_id": "c1", "content": content}]}
    assert chat(json.dumps(body).encode()).messages == [Message("tool", tool_call_id="c1")]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            {"role": "assistant", "content": None, "tool_calls": [CALLED]},
            Message("assistant", tool_calls=[MessageToolCall("c1", "f", "{}")]),
        ),
        (
            {"role": "assistant", "content": "", "refusal": None, "audio": None, "annotations": [], "tool_calls": None},
            Message("assistant"),
        ),
        ({"role": "assistant", "content": None}, Message("assistant")),
        ({"role": "assistant"}, Message("assistant")),
        ({"role": "assistant", "content": [], "tool_calls": []}, Message("assistant")),
        ({"role": "assistant", "content": None, "refusal": "I cannot."}, Message("assistant", "I cannot.")),
        ({"role": "user", "content": ""}, Message("user")),
        ({"role": "system", "content": ""}, Message("system")),
        ({"role": "developer", "content": "Be brief."}, Message("system", "Be brief.")),
        ({"role": "developer", "content": [{"type": "text", "text": "x"}]}, Message("system", [Text("x")])),
    ],
    ids=str,
)
def test_what_openais_client_sends_as_history_is_never_refused(written: JSON, message: Message) -> None:
    """Also an answer that was stopped before its first word, a refusal, and empty turns."""
    body = {"messages": [written, ASKED]}
    assert chat(json.dumps(body).encode()).messages == [message, Message("user", "Hi")]


def test_the_last_user_turn_may_be_followed_by_empty_ones_of_others() -> None:
    """A tool's empty result is what the model is asked about, and a stopped answer is asked for once more."""
    turns = [ASKED, {"role": "assistant", "content": None, "tool_calls": [CALLED]}]
    for last in ({"role": "tool", "tool_call_id": "c1", "content": None}, {"role": "assistant", "content": ""}):
        assert len(chat(json.dumps({"messages": [*turns, last]}).encode()).messages) == 3


@pytest.mark.parametrize("content", ["", None, [], [{"type": "text", "text": ""}]], ids=str)
def test_a_question_without_content_is_refused(content: Any) -> None:
    """No model can answer it, wherever the last user turn stands."""
    for before, after in (([], []), ([ASKED], []), ([ASKED], [{"role": "assistant", "content": "x"}])):
        body = {"messages": [*before, {"role": "user", "content": content}, *after]}
        with pytest.raises(InvalidPrompt, match=rf"messages\[{len(before)}\] has no content"):
            chat(json.dumps(body).encode())


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("written", "tool", "sent"),
    [
        (
            {"type": "function", "function": {"name": "f", "description": "", "parameters": SCHEMA, "strict": True}},
            Tool("f", "", SCHEMA, True),
            None,
        ),
        (
            {"name": "f", "parameters": SCHEMA},
            Tool("f", None, SCHEMA),
            {"type": "function", "function": {"name": "f", "parameters": SCHEMA}},
        ),
        (
            {"type": "function", "name": "f", "strict": False},
            Tool("f", strict=False),
            {"type": "function", "function": {"name": "f", "strict": False}},
        ),
        ({"type": "web_search"}, ProviderTool({"type": "web_search"}), None),
        (
            {"name": "f", "input_schema": SCHEMA},
            ProviderTool({"name": "f", "input_schema": SCHEMA}),
            None,
        ),
        (
            {"type": "function", "function": {"name": "f"}, "cache_control": {}},
            ProviderTool({"type": "function", "function": {"name": "f"}, "cache_control": {}}),
            None,
        ),
        ({"type": "provider", "data": {"x": 1}}, ProviderTool({"x": 1}), {"x": 1}),
    ],
    ids=["OpenAI's", "neutral", "OpenAI's flat one", "built in", "Anthropic's", "with more to it", "outright"],
)
def test_a_tool_is_a_function_or_a_providers_own(written: JSON, tool: Tool | ProviderTool, sent: JSON | None) -> None:
    """OpenAI gets its own shape word for word, and the neutral one in its own shape."""
    body = {"messages": [{"role": "user", "content": "Hi"}], "tools": [written]}
    prompt = chat(json.dumps(body).encode())
    assert prompt.tools == [tool]
    assert openai_body(prompt, "chat", "m", {})["tools"] == [sent or written]


# ---- Mistakes


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "$.messages[0].role"),
        ({"messages": [{"role": "user", "content": "Hi"}], "temperature": "hot"}, "$.temperature"),
        ({"messages": [{"role": "user", "content": "Hi"}], "temperature": 3}, "temperature is 3"),
        ({"messages": [{"role": "user", "content": "Hi"}], "tools": [{"type": "function"}]}, "$.tools[0]"),
        ({"messages": [{"role": "user", "content": "Hi"}], "tools": ["f"]}, "$.tools[0]"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages[0] has no content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0] has no content"),
        ({"messages": [{"role": "user", "content": "Hi", "tool_calls": [{"id": "c"}]}]}, "$.messages[0].tool_calls[0]"),
        ({"messages": []}, "messages is empty"),
        ({}, "messages is missing"),
        ({"messages": "Hi"}, "messages is not a list"),
    ],
)
def test_an_error_says_where_the_mistake_is(body: JSON, where: str) -> None:
    """The message has the place, so that the mistake can be found."""
    with pytest.raises(RequestError) as refused:
        chat(json.dumps(body).encode())
    assert where in str(refused.value)


@pytest.mark.parametrize(
    ("body", "mistake"),
    [({}, "message is missing"), ({"message": ""}, "message is empty"), ({"message": 5}, "message is not a string")],
)
def test_a_completion_needs_a_text(body: JSON, mistake: str) -> None:
    """The error tells a missing text from one of the wrong type."""
    with pytest.raises(RequestError, match=mistake):
        completion(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("part", "where"),
    [
        ("text", "$.messages[0].content[0]"),
        ({"type": "text", "text": 5}, "$.messages[0].content[0].text"),
        ({"type": "image_url", "image_url": {"url": 5}}, "$.messages[0].content[0].url"),
        ({"type": "image_url", "image_url": {}}, "messages[0].content[0]: an image needs"),
        ({"type": "image", "data": "AA=="}, "messages[0].content[0]: an image needs"),
        ({"type": "image", "data": "AA==", "url": PNG}, "messages[0].content[0]: an image needs"),
        ({"type": "audio", "data": "AA=="}, "$.messages[0].content[0]"),
        ({"type": "file", "name": "a.pdf"}, "messages[0].content[0]: a file needs"),
        ({"type": "provider", "data": {"type": ["image"]}}, "messages[0].content[0]: the type of"),
        ({"type": "file", "file": {"file_data": "AA==", "file_id": "f1"}}, "messages[0].content[0]: a file needs"),
    ],
    ids=str,
)
def test_an_empty_part_is_refused_with_its_place(part: Any, where: str) -> None:
    """Before a provider is called."""
    with pytest.raises(InvalidPrompt) as refused:
        parsed(part)
    assert where in str(refused.value)


def test_a_field_that_is_null_is_a_field_that_is_absent() -> None:
    """Clients that serialise an object write null for what they leave out."""
    body = b'{"message": null, "prompt": "Once", "model": null, "temperature": null, "tools": null}'
    assert completion(body) == completion(b'{"prompt": "Once"}')
    assert completion(b'{"prompt": "Once", "tool_choice": null, "top_k": null}') == completion(b'{"prompt": "Once"}')
