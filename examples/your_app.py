"""A chat API in your own FastAPI app. Run `uvicorn your_app:app`, then POST to /llm/api/stream/completion/chat."""

from fastapi import FastAPI, Request

import headwater


def who(request: Request) -> headwater.Principal:
    """The caller: in your app, from its session. Tenants never share answers."""
    return headwater.Principal(tenant="acme", subject=request.headers.get("x-user", "anonymous"))


app = FastAPI()
app.include_router(headwater.router(model="echo", store="memory:", principal=who), prefix="/llm")
