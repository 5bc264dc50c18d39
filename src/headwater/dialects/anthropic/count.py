"""How many tokens a prompt has, as Anthropic's `count_tokens` answers. Pure."""

import math

import msgspec

from headwater.prompt import Prompt, text_of

_BYTES = 4
"""Bytes of a token: about what the tokenizers of large models make of English text, and a little less of code."""
_MESSAGE = 4
"""Tokens that a chat template adds to a message."""


def estimate(prompt: Prompt) -> int:
    """The tokens of a prompt whose model does not count them, from its length; images and files count nothing."""
    texts = [text_of(message) for message in prompt.messages]
    calls = [call for message in prompt.messages for call in message.tool_calls or ()]
    size = sum(len(text.encode()) for text in texts)
    size += sum(len(msgspec.json.encode(part)) for part in (*calls, *prompt.tools))
    return math.ceil(size / _BYTES) + _MESSAGE * len(texts)


def counted(tokens: int) -> bytes:
    """The number as one object."""
    return msgspec.json.encode({"input_tokens": tokens})
