"""Headwater's routes as a Vercel function. `vercel.json` sends every request under `/api` here."""

import os

from fastapi import FastAPI

import headwater

os.environ.setdefault("HEADWATER_LIFETIME", "300")  # the same as `maxDuration` in vercel.json

app = FastAPI()
app.include_router(headwater.router(store="upstash:"))
