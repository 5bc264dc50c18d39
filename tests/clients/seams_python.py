"""Every Python client on an answer that broke off and goes on; prints the texts that each made of it.

The second question of each is answered from the cache.
"""

# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportArgumentType=false

import json
import sys
from typing import Any

import httpx
from anthropic import Anthropic
from httpx_sse import connect_sse
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from openai import OpenAI

URL = sys.argv[1]
client = OpenAI(base_url=f"{URL}/v1", api_key="none")


def messages(name: str) -> list[Any]:
    """The question of one client."""
    return [{"role": "user", "content": f"Where does it begin, {name} of Python?"}]


def chat() -> str:
    """OpenAI's helper for streams of chats."""
    with client.chat.completions.stream(model="scripted", messages=messages("chat")) as stream:
        deltas = "".join(event.delta for event in stream if event.type == "content.delta")
        assert deltas == stream.get_final_completion().choices[0].message.content
    return deltas


def completion() -> str:
    """OpenAI's stream of a text to complete."""
    chunks = client.completions.create(model="scripted", prompt="Where, completion?", stream=True)
    return "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)


def response() -> str:
    """OpenAI's helper for responses."""
    with client.responses.stream(model="scripted", input="Where, response?") as stream:
        deltas = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert deltas == stream.get_final_response().output_text
    return deltas


def anthropic() -> str:
    """Anthropic's helper for streams."""
    with Anthropic(base_url=URL, api_key="none").messages.stream(
        model="scripted", max_tokens=99, messages=messages("anthropic")
    ) as stream:
        return "".join(stream.text_stream)


def sse() -> str:
    """httpx-sse, which knows nothing of Headwater, and only adds up texts."""
    body = {"messages": messages("sse")}
    with httpx.Client() as http:
        with connect_sse(http, "POST", f"{URL}/api/stream/completion/chat", json=body) as source:
            return "".join(event.json().get("text", "") for event in source.iter_sse())


def langchain(model: Any) -> str:
    """LangChain's streams."""
    return "".join(str(chunk.text) for chunk in model.stream(messages(type(model).__name__)))


fields: Any = {"model": "scripted", "api_key": "none", "base_url": f"{URL}/v1"}
clients = {
    "chat": chat,
    "completion": completion,
    "response": response,
    "anthropic": anthropic,
    "sse": sse,
    "langchain openai": lambda: langchain(ChatOpenAI(**fields)),
    "langchain anthropic": lambda: langchain(ChatAnthropic(**{**fields, "base_url": URL, "max_tokens": 99})),
}
print(json.dumps({name: [ask(), ask()] for name, ask in clients.items()}))
