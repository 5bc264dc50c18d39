from collections.abc import AsyncGenerator, Sequence

from headwater.errors import CannotContinue
from headwater.events import Event
from headwater.models.model import Model, Shown
from headwater.prompt import Prompt


async def go_on_by_prompt(model: Model, prompt: Prompt, shown: Shown) -> AsyncGenerator[Sequence[Event], None]:
    raise CannotContinue("x")
    yield []
