"""OpenTelemetry's names for what a generation is: its operation and its provider."""

GENAI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
"""The labels that its metrics have, as Prometheus writes them."""

_PROVIDERS = {
    "openai-responses": "openai",
    "openai-completion": "openai",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "ibm": "ibm.watsonx.ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
}
"""LangChain's names of providers whose name in the conventions is another."""


def provider(model: str) -> str:
    """The provider of a model, from its name such as `openai:gpt-4o-mini`; `headwater` for the models within."""
    name, named, _ = model.partition(":")
    return _PROVIDERS.get(name, name) if named else "headwater"


def operation(kind: str) -> str:
    """The operation of a prompt of this kind."""
    return "text_completion" if kind == "completion" else "chat"


def bare(model: str) -> str:
    """The model's name as its provider knows it."""
    return model.partition(":")[2] or model
