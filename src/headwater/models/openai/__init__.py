"""OpenAI's chat and completion APIs, spoken directly over HTTP."""
