"""What the native routes accept, described field by field. Pure.

The structs here only describe: `request` reads bodies more leniently, so that unknown fields can travel on.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from headwater.prompt import LIMITS, Audio, File, Image, MessageToolCall, ProviderPart, ProviderTool, Role, Text, Tool

Json = dict[str, Any]
_REF = "#/components/schemas/{name}"


class OpenAIImageUrl(msgspec.Struct):
    """The address of an image, which may be a data URL."""

    url: str
    detail: str | None = None


class OpenAIImage(msgspec.Struct, tag="image_url"):
    """An image in the shape of OpenAI's chat API."""

    image_url: OpenAIImageUrl


class OpenAIAudioData(msgspec.Struct):
    """A sound in base64, and its format, such as `wav` or `mp3`."""

    data: str
    format: str


class OpenAIAudio(msgspec.Struct, tag="input_audio"):
    """A sound in the shape of OpenAI's chat API."""

    input_audio: OpenAIAudioData


class OpenAIFileData(msgspec.Struct):
    """A file: its content as a data URL, or the id under which the provider has it."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class OpenAIFile(msgspec.Struct, tag="file"):
    """A file in the shape of OpenAI's chat API."""

    file: OpenAIFileData


class OpenAIFunctionCall(msgspec.Struct):
    """The tool's name, and the JSON text of its arguments."""

    name: str
    arguments: str


class OpenAIToolCall(msgspec.Struct, tag="function"):
    """A tool call in the shape of OpenAI's chat API."""

    id: str
    function: OpenAIFunctionCall


class OpenAIFunction(msgspec.Struct):
    """A function: its name, what it is for, and the JSON schema of its arguments."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class OpenAITool(msgspec.Struct, tag="function"):
    """A tool in the shape of OpenAI's chat API."""

    function: OpenAIFunction


_PARTS = (Text, Image, Audio, File, OpenAIImage, OpenAIAudio, OpenAIFile, ProviderPart)
_CALLS = (MessageToolCall, OpenAIToolCall)
_TOOLS = (Tool, OpenAITool, ProviderTool)


def _one_of(kinds: tuple[type, ...], otherwise: str = "") -> Json:
    """An object of one of these types, or of any other shape, if `otherwise` says what becomes of it."""
    known = [{"$ref": _REF.format(name=kind.__name__)} for kind in kinds]
    return {"anyOf": [*known, *([{"type": "object", "description": otherwise}] if otherwise else [])]}


_Part = Annotated[Json, Meta(extra_json_schema=_one_of(_PARTS, "A part in one provider's shape, sent on as it is"))]
_Call = Annotated[Json, Meta(extra_json_schema=_one_of(_CALLS))]
_Tool = Annotated[Json, Meta(extra_json_schema=_one_of(_TOOLS, "A tool in one provider's shape, sent on as it is"))]


def _number(name: str, description: str, example: float) -> Meta:
    low, high = LIMITS[name]
    limits = {"minimum": low, "maximum": high}
    return Meta(description=description, examples=[example], extra_json_schema=limits)


def _carried(description: str, example: Any) -> Meta:
    return Meta(description=f"{description}. Sent as `tool_choice` is; decides no answer", examples=[example])


class ChatMessage(msgspec.Struct):
    """One turn of the conversation. Other fields, such as an id, are ignored."""

    role: Annotated[
        Role | Literal["developer"],
        Meta(description="Who speaks; `tool` for the result of a tool call, `developer` is another name of `system`"),
    ]
    content: Annotated[
        str | list[_Part] | None, Meta(description="Text, or parts; may be empty or null except in the last user turn")
    ] = None
    name: Annotated[str | None, Meta(description="Tells speakers of the same role apart")] = None
    tool_calls: Annotated[list[_Call] | None, Meta(description="The calls that the model made in this turn")] = None
    tool_call_id: Annotated[str | None, Meta(description="The call that a `tool` turn answers")] = None


class Body(msgspec.Struct, kw_only=True):
    """The fields that both routes accept."""

    model: Annotated[
        str | None, Meta(description="A model that this server offers; by default the server's own", examples=["echo"])
    ] = None
    temperature: Annotated[float | None, _number("temperature", "Randomness of the choice of tokens", 0.2)] = None
    top_p: Annotated[float | None, _number("top_p", "Share of the likeliest tokens that are considered", 0.9)] = None
    max_tokens: Annotated[int | None, _number("max_tokens", "Tokens of the answer at most", 500)] = None
    stop: Annotated[
        str | list[str] | None, Meta(description="Texts at which the answer ends, without them", examples=[["END"]])
    ] = None
    seed: Annotated[
        int | None, Meta(description="Equal seeds give equal answers, where the provider can do that", examples=[7])
    ] = None
    frequency_penalty: Annotated[
        float | None, _number("frequency_penalty", "Above 0: tokens become less likely the more often they came", 0.5)
    ] = None
    presence_penalty: Annotated[
        float | None, _number("presence_penalty", "Above 0: tokens become less likely once they have come", 0.5)
    ] = None
    tools: Annotated[
        list[_Tool] | None,
        Meta(description="Tools that the model may call", examples=[[{"name": "weather", "parameters": {}}]]),
    ] = None
    tool_choice: Annotated[
        Any, Meta(description="Which tool to call; OpenAI-compatible providers get it as it is", examples=["auto"])
    ] = None
    parallel_tool_calls: Annotated[
        Any,
        Meta(description="Whether tools may be called side by side; sent as `tool_choice` is", examples=[False]),
    ] = None
    response_format: Annotated[
        Any, Meta(description="The form of the answer; sent as `tool_choice` is", examples=[{"type": "json_object"}])
    ] = None
    reasoning_effort: Annotated[
        Any, Meta(description="How long to think; sent as `tool_choice` is", examples=["low"])
    ] = None
    stream: Annotated[
        Any, Meta(description="Decides no answer; false: as one JSON object, where `Accept` allows it", examples=[True])
    ] = None
    stream_options: Annotated[Any, Meta(description="Ignored: usage always comes with `finish`", examples=[{}])] = None
    user: Annotated[Any, _carried("Who asks", "ann")] = None
    safety_identifier: Annotated[Any, _carried("Who asks, as a hash", "4f2a")] = None
    metadata: Annotated[Any, _carried("What the provider files the answer under", {"trace": "1"})] = None
    store: Annotated[
        Any, _carried("Whether the provider keeps the answer; true: always a new one, which the cache lacks", True)
    ] = None
    service_tier: Annotated[Any, _carried("How quickly, at which price", "flex")] = None
    prompt_cache_key: Annotated[Any, _carried("What the provider's own cache keeps together", "chat-1")] = None
    prompt_cache_options: Annotated[Any, _carried("How the provider's own cache works", {"ttl": "30m"})] = None
    prompt_cache_retention: Annotated[Any, _carried("How long the provider's own cache keeps it", "24h")] = None
    id: Annotated[Any, Meta(description="Ignored: decides no answer", examples=["request-1"])] = None
    conversation_id: Annotated[Any, Meta(description="Accepted and not used yet", examples=["c1"])] = None


class ChatBody(Body, kw_only=True):
    """A chat to be answered. Unknown fields are sent to OpenAI-compatible providers and ignored by all others."""

    messages: Annotated[
        list[ChatMessage],
        Meta(
            description="The turns so far, oldest first", min_length=1, examples=[[{"role": "user", "content": "Hi"}]]
        ),
    ]


class CompletionBody(Body, kw_only=True):
    """A text to be completed, in `message` or `prompt`. Unknown fields are treated as those of a chat."""

    message: Annotated[str | None, Meta(description="The text; wins over `prompt`", examples=["Once upon a time"])] = (
        None
    )
    prompt: Annotated[str | None, Meta(description="The text", examples=["Once upon a time"])] = None


def described(kind: Any) -> tuple[Json, Json]:
    """The JSON schema of a struct, and the components that it refers to."""
    kinds = (kind, *_PARTS, *_CALLS, *_TOOLS)
    (schema, *_), components = msgspec.json.schema_components(kinds, ref_template=_REF)
    if kind is CompletionBody:
        components["CompletionBody"]["anyOf"] = [{"required": ["message"]}, {"required": ["prompt"]}]
    return schema, components
