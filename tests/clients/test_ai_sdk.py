"""The AI SDK 5, 6 and 7: `useChat` and `useCompletion` as pages call them, and `WorkflowChatTransport`."""

import asyncio
import dataclasses

from upstream import Received, Upstream

WORDS = ["It ", "is ", "4 ", "°C."]


@dataclasses.dataclass(kw_only=True)
class Scene(Upstream):
    """A provider that does what the question says."""

    async def _answer(self, request: Received, number: int, writer: asyncio.StreamWriter) -> None:
        messages = request.body["messages"]
        question = next(message["content"] for message in messages if message["role"] == "user")
        ran = messages[-1]["role"] == "tool"
        self.tokens = [f"{n} " for n in range(20)] if question.startswith("slow") else WORDS
        self.pace = 0.05 if question.startswith("slow") else 0.0
        self.silent_after = 2 if question.startswith("hang") else None
        self.status = 429 if question.startswith("refuse") else 200
        self.error_after = 2 if question.startswith("error") else None
        self.cut_after = 2 if question.startswith("cut") else None
        calls = question.startswith("tool") and not ran
        self.tool_calls = [("call_1", "weather", ['{"city":', ' "Oslo"}'])] if calls else ()
        self.finish = "tool_calls" if calls else "stop"
        self.tokens = [] if calls else self.tokens
        await super()._answer(request, number, writer)
