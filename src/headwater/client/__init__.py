"""A Python client for Headwater servers. It reads an answer's events to their ending and reconnects by itself.

async with Client("http://127.0.0.1:8000") as client:
    answer = await client.chat([{"role": "user", "content": "Hi"}])
    async for event in answer:
        ...

`client.conversations` are those that the server keeps. `SyncClient` is the same for programs without `async`.
"""

from headwater.answer import ToolCall
from headwater.client.answer import Answer
from headwater.client.client import About, Client
from headwater.client.conversations import Conversation, Message, Summary
from headwater.client.failures import NotHeadwater, NothingListens, Unreachable
from headwater.client.patience import Patience
from headwater.client.sync import SyncAnswer, SyncClient, SyncConversation
from headwater.errors import (
    Expired,
    HeadwaterError,
    InvalidPrompt,
    ModelError,
    NoSuchLog,
    NotCached,
    RequestError,
    ShuttingDown,
    StoreError,
    UnknownModel,
)
from headwater.events import (
    Cached,
    Continued,
    Ending,
    Error,
    Event,
    Finish,
    Metadata,
    ReasoningDelta,
    Saved,
    Start,
    Stop,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    Usage,
)
from headwater.offsets import Offset

__all__ = [
    "About",
    "Answer",
    "Cached",
    "Client",
    "Continued",
    "Conversation",
    "Ending",
    "Error",
    "Event",
    "Expired",
    "Finish",
    "HeadwaterError",
    "InvalidPrompt",
    "Message",
    "Metadata",
    "ModelError",
    "NoSuchLog",
    "NotCached",
    "NotHeadwater",
    "NothingListens",
    "Offset",
    "Patience",
    "ReasoningDelta",
    "RequestError",
    "Saved",
    "ShuttingDown",
    "Start",
    "Stop",
    "StoreError",
    "Summary",
    "SyncAnswer",
    "SyncClient",
    "SyncConversation",
    "TextDelta",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallEnd",
    "ToolCallStart",
    "ToolResult",
    "UnknownModel",
    "Unreachable",
    "Usage",
]
