"""Prefill: which providers continue an answer that was begun, and how the request for that is written. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from headwater.prompt import Message, Prompt, text_of

Way = Literal["flags", "prefix", "partial", "trailing", "text"]
"""How a provider is asked: two fields beside the messages, a field of the last message, nothing but that message, or
the text of a completion."""


class Prefill(NamedTuple):
    """What is known of a provider that may continue an answer."""

    way: Way
    asked: bool = False
    """Whether it must show first that it continues: nothing is known of this address."""
    thinks: bool = False
    """Whether it takes the reasoning that came before the text."""
    echoes: bool = False
    """Whether it sends what it was given once more."""
    known: bool = False
    """Whether it certainly never begins anew: a completion, or the embedded model."""


COMPLETION = Prefill("text", known=True)
EMBEDDED = Prefill("trailing", known=True)

_BY_SETTING = {
    "flags": Prefill("flags", thinks=True),
    "prefix": Prefill("prefix", thinks=True, echoes=True),
    "partial": Prefill("partial"),
    "trailing": Prefill("trailing"),
}
SETTINGS = ("auto", "off", *_BY_SETTING)
"""What an operator may say of a model."""

_MISTRAL = Prefill("prefix", echoes=True)
_BY_HOST: tuple[tuple[str, str, Prefill | None], ...] = (
    (r"(.*\.)?api\.openai\.com|.*\.azure\.com|openrouter\.ai|.*\.googleapis\.com|api\.anthropic\.com", "", None),
    (r"api\.x\.ai|api\.perplexity\.ai|api\.together\.(xyz|ai)|api\.fireworks\.ai", "", None),
    (r"(.*\.)?mistral\.ai", "", _MISTRAL),
    (r"api\.deepseek\.com", "/beta", _BY_SETTING["prefix"]),
    (r"api\.deepseek\.com", "", None),
    (r"dashscope[\w-]*\.aliyuncs\.com|api\.moonshot\.(ai|cn)", "", _BY_SETTING["partial"]),
    (r"api\.groq\.com", "", _BY_SETTING["trailing"]),
)
"""Host, beginning of the path, and what is known; None for those that refuse it, that begin anew, or of which neither
is known. vLLM, SGLang, TGI, llama.cpp, LMDeploy and Ollama are at addresses of their operators."""
_ADDRESS = re.compile(r"https?://(?:[^/@]*@)?(?P<host>[^/:?#]*)(?::\d*)?(?P<path>[^?#]*)")
_CLAUDE = re.compile(r"claude-(?:(?:[23]|instant)[\w.-]*|\w+-4(?:-[0-5])?(?:-\d{8}|-latest)?)")  # up to 4.5


def of_setting(entries: Sequence[str], name: str) -> str:
    """What `HEADWATER_PREFILL` says of a model: the entry `name=way`, or else the one without a name."""
    found = {model: way for model, _, way in (entry.rpartition("=") for entry in entries)}
    return found.get(name, found.get("", "auto"))


def at(address: str, setting: str = "auto") -> Prefill | None:
    """What is known of the chat API at an address, or what the operator's setting says; None for no prefill."""
    if setting != "auto":
        return _BY_SETTING.get(setting)
    place = _ADDRESS.match(address.lower())
    for host, path, known in _BY_HOST:
        if place and re.fullmatch(host, place["host"]) and place["path"].startswith(path):
            return known
    return Prefill("flags", asked=True, thinks=True)


def of_class(name: str, model: str, setting: str = "auto") -> Prefill | None:
    """What is known of a LangChain chat model of a class that does not speak OpenAI's API; None for no prefill."""
    found = {"LlamaCppChat": EMBEDDED, "ChatMistralAI": _MISTRAL, "ChatGroq": _BY_SETTING["trailing"]}.get(name)
    if setting == "trailing" or (name == "ChatAnthropic" and _CLAUDE.fullmatch(model)):
        found = found or _BY_SETTING["trailing"]
    return None if setting == "off" else found


_FORM = (
    *("tools", "functions", "response_format", "logprobs", "top_logprobs", "echo", "modalities", "grammar", "thinking"),
    *("json_schema", "structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar"),
    *("continue_final_message", "add_generation_prompt"),
)
"""Fields with which what comes may not be what follows: prose in place of a tool call, or of the rest of a JSON."""
_NO_FORM = ({"type": "text"}, {"type": "disabled"})


def allows(prompt: Prompt, defaults: Mapping[str, Any] | None = None) -> bool:
    """Whether an answer to this prompt can be gone on with: plain text in answer to a user, without tools or a form."""
    fields = {**(defaults or {}), **prompt.extra}
    fields |= fields.get("extra_body") or {}
    form = any((value := fields.get(name)) and value not in _NO_FORM for name in _FORM)
    return not (form or prompt.tools or prompt.messages[-1].role in ("assistant", "tool"))


def prefilled(prompt: Prompt, way: Way, text: str, reasoning: str = "") -> Prompt:
    """The prompt whose answer continues `text`; the prompt itself without a text, since none continues an empty one."""
    if not text:
        return prompt
    *before, last = prompt.messages
    if way == "text":
        return msgspec.structs.replace(
            prompt, messages=[*before, msgspec.structs.replace(last, content=text_of(last) + text)]
        )
    messages = prompt.messages
    if prompt.kind == "completion":  # which a chat API gets as one message
        messages = [Message("user", "\n".join(text_of(message) for message in messages))]
    fields: dict[str, Any] = {way: True} if way in ("prefix", "partial") else {}
    if reasoning:
        fields["reasoning_content"] = reasoning
    flags = {"continue_final_message": True, "add_generation_prompt": False} if way == "flags" else {}
    turn = Message("assistant", text, provider=fields)
    return msgspec.structs.replace(prompt, kind="chat", messages=[*messages, turn], extra={**prompt.extra, **flags})
