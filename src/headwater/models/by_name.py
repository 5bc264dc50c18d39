"""Models by their LangChain names: called directly where that is possible, through LangChain where not."""

from headwater.models.langchain import openai_models
from headwater.models.langchain.model import LangChainModel, Opened
from headwater.models.model import Model
from headwater.models.openai.connection import Account, Connections
from headwater.models.openai.model import OpenAIModel
from headwater.models.openai.names import covers, meaning
from headwater.models.openai.responses import ResponsesModel
from headwater.models.prefill import of_setting

# Providers whose LangChain classes have no place for unknown fields. For all others, known or not, the fields count as
# sent: if that is wrong it costs a second call, while the opposite mistake would give the answer to another question.
_WITHOUT_EXTRA = frozenset(
    {
        "anthropic",
        "anthropic_bedrock",
        "bedrock",
        "bedrock_converse",
        "bedrock_mantle_anthropic",
        "cohere",
        "google_anthropic_vertex",
        "google_genai",
        "google_vertexai",
        "groq",
        "huggingface",
        "ibm",
        "mistralai",
        "ollama",
        "perplexity",
    }
)
# Bare model names from whose beginning `init_chat_model` infers one of these providers.
_BARE = ("claude", "command", "gemini", "amazon.", "anthropic.", "meta.", "mistral", "mixtral", "sonar")


def sends_extra(name: str) -> bool:
    """Whether unknown fields of a request reach the provider of a LangChain name; True where that is not known."""
    provider = name.partition(":")[0].replace("-", "_").lower()
    return provider not in _WITHOUT_EXTRA and not name.lower().startswith(_BARE)


def from_name(name: str, account: Account, *, connections: Connections | None = None) -> Model:
    """The model of a LangChain name, by the cheapest way that loses nothing.

    `connections` are the account's existing ones, if there are any.
    """
    found = meaning(name)
    if found is not None and found[0] == "responses":
        return ResponsesModel(found[1], account, connections=connections)
    through = through_langchain(name, account)
    if found is None or not covers(*found, account.base_url):
        return through
    kind, model = found
    return OpenAIModel(model, kind, account, fallback=through, connections=connections)


def through_langchain(name: str, account: Account) -> LangChainModel:
    """The model of a LangChain name, answered by LangChain's own class for it.

    `openai:gpt-4o-mini` and bare names of OpenAI's models become chat models, `openai-completion:…` completion models,
    both of `account`. `init_chat_model` builds every other name, and its provider's package reads its own key from the
    environment. Nothing is imported or built before the first use.
    """
    found = meaning(name)
    if found is not None:
        kind, model = found
        build = openai_models.completion if kind == "completion" else openai_models.chat
        return build(model, account)

    def opener() -> Opened:
        from langchain.chat_models import init_chat_model

        try:
            return Opened(init_chat_model(name, max_retries=0, cache=False), None)
        except ValueError as refused:
            if "max_retries" not in str(refused):
                raise
            return Opened(init_chat_model(name, cache=False), None)  # this class has no retries, and refuses the option

    return LangChainModel(opener, name, secrets=account.secrets, prefill=of_setting(account.prefill, name))
