"""The UI message stream of the Vercel AI SDK, versions 5 to 7: `useChat`, `useCompletion`, `WorkflowChatTransport`."""
