"""Streaming routes for completions and chats, in an app of your own."""

from fastapi import FastAPI

import headwater

app = FastAPI()
app.include_router(headwater.router(store="memory:"))
