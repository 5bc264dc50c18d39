"""The canonical request: what a client asks of a model, in a form that belongs to no client and no provider.

Dialects translate a client's form into it, and models translate it into a provider's.
"""

import re
from typing import Any, Literal

import msgspec

from headwater.errors import InvalidPrompt

Role = Literal["system", "user", "assistant", "tool"]

LIMITS: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "max_tokens": (1, 10_000_000),
}
"""The range of each sampling parameter, both ends included; those of the OpenAI API."""

CARRIED = frozenset(
    {
        *("user", "safety_identifier", "metadata", "store", "service_tier"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
    }
)
"""Fields of the OpenAI API that decide no answer: who asks, how the provider files, bills and caches the request.

They are sent and not in the key, so equal questions of two users have one answer; the provider gets the fields of the
request that started it. A provider that does not know one gets the request without it.
"""


class _Closed(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A struct without unknown fields; defaults are left out of its JSON, so that equal prompts have equal keys."""


class Text(_Closed, frozen=True, tag="text"):
    """A piece of text."""

    text: str


class Image(_Closed, frozen=True, tag="image", kw_only=True):
    """A picture: exactly one of `url`, and `data` in base64 with its `media_type`."""

    url: str | None = None
    """An `http(s)` address; `Image.at` turns a data URL into `data`."""
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None
    """How closely the model looks, in the words of the OpenAI API: `low`, `high` or `auto`."""

    @classmethod
    def at(cls, url: str, detail: str | None = None) -> "Image":
        """The picture at an address, which may be a data URL."""
        return cls(**located(url), detail=detail)

    @property
    def address(self) -> str:
        """The address, or the data as a data URL."""
        return self.url if self.url is not None else _data_url(self.media_type, self.data)


class Audio(_Closed, frozen=True, tag="audio", kw_only=True):
    """A sound: `data` in base64, and its `media_type`, such as `audio/wav` or `audio/mpeg`."""

    data: str
    media_type: str


class File(_Closed, frozen=True, tag="file", kw_only=True):
    """A document: exactly one of `url`, `data` in base64, and the `id` under which the provider already has it."""

    url: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    media_type: str | None = None

    @property
    def address(self) -> str | None:
        """The address, the data as a data URL, or bare base64 where the media type is unknown; None for an `id`."""
        if self.url is not None or self.data is None or self.media_type is None:
            return self.url if self.url is not None else self.data
        return _data_url(self.media_type, self.data)


class ProviderPart(_Closed, frozen=True, tag="provider"):
    """A part in the shape of one provider, passed on as it is; only models behind LangChain may understand it."""

    data: dict[str, Any]


Part = Text | Image | Audio | File | ProviderPart


class MessageToolCall(_Closed, frozen=True):
    """A call of a tool that the model made; `arguments` is the JSON text that the model wrote."""

    id: str
    name: str
    arguments: str
    provider: dict[str, Any] = {}
    """What the provider needs back with the call, in its own words, such as Gemini's `extra_content`."""


class Tool(_Closed, frozen=True, tag="function"):
    """A tool that the model may call; `parameters` is the JSON schema of its arguments."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    """Whether the arguments must follow the schema exactly; None leaves that to the provider."""


class ProviderTool(_Closed, frozen=True, tag="provider"):
    """A tool in the shape of one provider, passed on as it is, such as `{"type": "web_search"}`."""

    data: dict[str, Any]


class Message(_Closed, frozen=True):
    """One turn of a conversation; a turn of the role `tool` is the result of the call `tool_call_id`."""

    role: Role
    content: str | list[Part] = ""
    name: str | None = None
    tool_calls: list[MessageToolCall] | None = None
    tool_call_id: str | None = None
    provider: dict[str, Any] = {}
    """What the provider needs back with the turn, in its own words, such as `reasoning_details`."""


class Parameters(_Closed, frozen=True):
    """How to sample; `None` leaves the choice to the provider. `LIMITS` has the ranges."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


class Prompt(_Closed, frozen=True, kw_only=True):
    """What decides an answer, and what is `carried`. A closed struct, so that a new field is in the key by itself."""

    kind: Literal["chat", "completion"] = "chat"
    model: str
    messages: list[Message]
    parameters: Parameters = Parameters()
    tools: list[Tool | ProviderTool] = []
    extra: dict[str, Any] = {}
    """Fields of the request that Headwater does not know; they travel in the provider's JSON body and nowhere else."""
    carried: dict[str, Any] = {}
    """Fields that travel with `extra` and decide nothing, such as `user`: the only field that is not in the key."""


def check(prompt: Prompt) -> Prompt:
    """Refuse a prompt that no model can answer, before anything is spent on it. Raises `InvalidPrompt`."""
    if not prompt.messages:
        raise InvalidPrompt('the field messages is empty: send at least one, e.g. {"role": "user", "content": "Hi"}')
    asked = max((number for number, message in enumerate(prompt.messages) if message.role == "user"), default=None)
    for number, message in enumerate(prompt.messages):
        # Any other may be empty: a tool's result, or an answer that was stopped before its first word.
        if number == asked and _is_empty(message):
            raise InvalidPrompt(f"the field messages[{number}] has no content")
        if isinstance(message.content, list):
            for place, part in enumerate(message.content):
                _check_part(f"messages[{number}].content[{place}]", part)
    for name, (low, high) in LIMITS.items():
        value = getattr(prompt.parameters, name)
        # `not low <= value` also refuses NaN, which compares false with everything.
        if value is not None and not low <= value <= high:
            raise InvalidPrompt(f"the field {name} is {value}; it must lie between {low} and {high}")
    return prompt


def text_of(message: Message) -> str:
    """The plain text of a message, its other parts left out."""
    if isinstance(message.content, str):
        return message.content
    return "".join(map(_text_in, message.content))


def located(address: str) -> dict[str, str]:
    """The fields `data` and `media_type` of a base64 data URL, or the field `url` of any other address."""
    head, comma, data = address.partition(",")
    if comma and (match := _DATA_URL.fullmatch(head)):
        return {"data": data, "media_type": match[1]}
    return {"url": address}


_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64", re.ASCII)


def _data_url(media_type: str | None, data: str | None) -> str:
    return f"data:{media_type};base64,{data}"


def _is_empty(message: Message) -> bool:
    if isinstance(message.content, str):
        return not message.content
    return all(isinstance(part, Text) and not part.text for part in message.content)


def _check_part(place: str, part: Part) -> None:
    match part:
        case Image(url=url, data=data, media_type=media_type):
            if (url is None) == (data is None) or (data is not None and media_type is None):
                raise InvalidPrompt(f"at {place}: an image needs either url, or data and media_type")
        case File(url=url, data=data, id=id):
            if [url, data, id].count(None) != 2:
                raise InvalidPrompt(f"at {place}: a file needs exactly one of url, data and id")
        case ProviderPart(data):
            if not isinstance(data.get("type"), str | None):
                raise InvalidPrompt(f"at {place}: the type of a provider's part must be a text")
        case Text() | Audio():
            pass


def _text_in(part: Part) -> str:
    if isinstance(part, Text):
        return part.text
    if isinstance(part, ProviderPart) and part.data.get("type") == "text":
        return str(part.data.get("text", ""))  # opaque only for what is beside its text, such as a `cache_control`
    return ""
