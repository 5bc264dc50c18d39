"""llama.cpp's server in this process: loading weights into it, and counting tokens with it."""

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from headwater.errors import ModelError
from headwater.models.embedded.demo import Weights
from headwater.models.embedded.preflight import library
from headwater.prompt import Message

# The batch size: tokens of a prompt that llama.cpp reads without a check for cancellation. Its default of 2048 makes a
# cancelled request go on for 15 s on one core; 64 makes it half a second and costs at most 5 % of the speed.
_BATCH = 64
# The prompt cache in MiB: earlier conversations kept for reuse, at 23 KiB a token. llama.cpp's own default is 8 GiB.
_PROMPT_CACHE = 128

Chunk = dict[str, Any]
"""A chunk of an answer, in OpenAI's form."""


class Server(Protocol):
    """The two calls of the untyped library that are used here; both block, and release the interpreter meanwhile."""

    def handle_chat_completions(self, prompt: dict[str, Any], callback: Callable[[Chunk], bool], /) -> None:
        """Answer; the callback gets every chunk, and stops the answer by returning True."""
        ...

    def handle_completions(self, prompt: dict[str, Any], /) -> dict[str, Any]:
        """Complete; here only to have a prompt refused, see `count`."""
        ...


def start(path: Path, context: int, slots: int, threads: int | None) -> Server:
    """Load the weights into a new llama.cpp server, `context` tokens for each of its `slots`. Raises `ModelError`."""
    folder = Path(tempfile.mkdtemp(prefix="headwater-"))  # only its owner may enter
    try:
        llama = library()
        settings = llama.CommonParams()
        settings.model.path = str(path)
        settings.n_ctx, settings.n_parallel = context * slots, slots
        settings.n_batch = settings.n_ubatch = _BATCH
        settings.cache_ram_mib = _PROMPT_CACHE
        settings.verbosity, settings.ui, settings.endpoint_slots = -1, False, False
        computing = threads or max(1, (os.cpu_count() or 2) - 1)
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = computing
        # The library insists on an HTTP listener. On a socket file, which is removed at once, nobody can reach it;
        # without socket files it is on a random loopback port, behind a random key.
        settings.api_keys = [secrets.token_hex(16)]
        socket = str(folder / "s.sock")
        if sys.platform != "win32" and len(socket) < 100:  # the kernel's limit is 104 or 108 bytes
            settings.hostnames = [socket]
        return cast("Server", llama.Server(settings))
    except ImportError as failure:
        cannot = "the embedded model cannot run here"
        raise ModelError(f"{cannot}: {failure}", code="provider_error", told=cannot) from failure
    except RuntimeError as failure:
        # The library gives no reason, and logs none either at this verbosity.
        raise ModelError(f"{path.name} could not be loaded as a model", code="provider_error") from failure
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def count(server: Server, weights: Weights, context: int, turns: Sequence[Message], *, exactly: bool = False) -> int:
    """The tokens of a conversation in the model's chat template; an upper bound for a short one, unless `exactly`."""
    begun = turns[-1].content if turns and turns[-1].role == "assistant" else None  # an answer, which is continued
    closed = turns if begun is None else turns[:-1]
    text = "".join(weights.turn.format(role=turn.role, content=turn.content) for turn in closed) + weights.opening
    text += str(begun or "")
    size = len(text.encode(errors="replace"))
    if size <= context // 2 and not exactly:
        return size  # a token is at least a byte, and the answer takes at most half the context, so this fits
    # The library has no tokenizer in process. But it refuses a prompt that cannot fit before any work, and the refusal
    # contains the prompt's length: so the text is sent within such a prompt. That takes 2 ms, and leaves the prompt
    # cache as it is.
    refusal = server.handle_completions({"prompt": [*([1] * context), text], "max_tokens": 1})
    tokens = refusal.get("error", {}).get("n_prompt_tokens")
    if not isinstance(tokens, int):
        raise ModelError("the embedded model cannot count its tokens", code="provider_error")
    return tokens - context
