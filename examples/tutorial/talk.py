"""A conversation of two questions, from Python."""

import asyncio

from headwater.client import Client, TextDelta


async def main() -> None:
    """Ask both questions; the second one sees the first answer."""
    messages: list[dict[str, str]] = []
    async with Client("http://127.0.0.1:8000") as client:
        for question in ("What is the capital of France?", "What is it famous for?"):
            messages.append({"role": "user", "content": question})
            print(f"> {question}")
            answer = await client.chat(messages)
            async for event in answer:
                if isinstance(event, TextDelta):
                    print(event.text, end="", flush=True)
            print()
            messages.append({"role": "assistant", "content": answer.text})


asyncio.run(main())
