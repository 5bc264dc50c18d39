"""Any LangChain model, chain or graph, and LangChain's own OpenAI classes over our connections."""
