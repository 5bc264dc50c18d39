"""AG-UI, the protocol of `@ag-ui/client`, CopilotKit and TanStack AI: https://docs.ag-ui.com."""
