"""The same routes over a LangChain chain: a prompt, then a model."""

from fastapi import FastAPI
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_openai import ChatOpenAI

import headwater

prompt = ChatPromptTemplate(
    [
        ("system", "You are a geography teacher. Answer in one sentence."),
        MessagesPlaceholder("messages"),
    ]
)
chain = prompt | ChatOpenAI(model="gpt-4o-mini")

app = FastAPI()
app.include_router(headwater.router(chain, cache_as="teacher-1", store="memory:"))
