"""The same routes, with their answers in the store that `.env` or the environment selects."""

from fastapi import FastAPI

import headwater

app = FastAPI()
app.include_router(headwater.router(cache_ttl=600))
