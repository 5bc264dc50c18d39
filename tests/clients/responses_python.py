"""OpenAI's Python client, the Agents SDK and LangChain's class on the Responses API; prints what each got."""

# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false, reportArgumentType=false

import asyncio
import json
import sys
from typing import Any

from agents import Agent, OpenAIResponsesModel, Runner, set_tracing_disabled
from langchain_openai import ChatOpenAI
from openai import APIError, AsyncOpenAI, NotFoundError, OpenAI

URL, SCENARIO, *REST = sys.argv[1:]
client = OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)


def live() -> Any:
    whole = client.responses.create(model="gpt-4o-mini", input="Hi")
    with client.responses.stream(model="gpt-4o-mini", input="Hi") as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    return {"whole": whole.output_text, "streamed": final.output_text, "status": final.status}


def cut() -> Any:
    """Read some events, and go on after them with the client's own means, here or at another server."""
    stream = client.responses.create(model="gpt-4o-mini", input="Hi", stream=True, background=True)
    read = [next(stream) for _ in range(5)]
    stream.close()
    other = OpenAI(base_url=f"{REST[0] if REST else URL}/v1", api_key="none", max_retries=0)
    id = read[0].response.id
    rest = list(other.responses.retrieve(id, stream=True, starting_after=read[-1].sequence_number))
    whole = other.responses.retrieve(id)
    numbers = [event.sequence_number for event in [*read, *rest]]
    text = "".join(event.delta for event in [*read, *rest] if event.type == "response.output_text.delta")
    return {"dense": numbers == list(range(len(numbers))), "text": text, "polled": whole.output_text}


def background() -> Any:
    queued = client.responses.create(model="gpt-4o-mini", input="Hi", background=True)
    cancelled = client.responses.cancel(queued.id)
    client.responses.delete(queued.id)
    try:
        client.responses.retrieve(queued.id)
    except NotFoundError as error:
        return {"queued": queued.status, "cancelled": cancelled.status, "gone": error.code}
    return {}


def turns() -> Any:
    first = client.responses.create(model="gpt-4o-mini", input="Hi")
    second = client.responses.create(model="gpt-4o-mini", input="And?", previous_response_id=first.id)
    return {"second": second.output_text, "previous": second.previous_response_id == first.id}


def failed() -> Any:
    try:
        events = list(client.responses.create(model="gpt-4o-mini", input="Hi", stream=True))
    except APIError as error:
        return {"raised": type(error).__name__}
    last = events[-1]
    return {"last": last.type, "kept": last.response.output_text}


def frameworks() -> Any:
    set_tracing_disabled(True)
    own = AsyncOpenAI(base_url=f"{URL}/v1", api_key="none")
    agent = Agent(name="a", instructions="Be kind.", model=OpenAIResponsesModel("gpt-4o-mini", openai_client=own))
    ran = asyncio.run(Runner.run(agent, "Hi")).final_output
    model = ChatOpenAI(model="gpt-4o-mini", base_url=f"{URL}/v1", api_key="none", use_responses_api=True)
    return {"agents": ran, "langchain": "".join(str(chunk.text) for chunk in model.stream("Hi"))}


SCENARIOS = {each.__name__: each for each in (live, cut, background, turns, failed, frameworks)}
print(json.dumps(SCENARIOS[SCENARIO]()))
