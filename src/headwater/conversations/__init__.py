"""Conversations that the server keeps: trees of questions and answers, in documents."""
