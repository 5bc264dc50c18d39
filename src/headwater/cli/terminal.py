"""The operator's terminal. But for answers (`printer.py`) all is printed here, so that no text is taken for markup."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headwater.errors import sentence

if TYPE_CHECKING:
    from headwater.settings import Settings

logger = logging.getLogger(__name__)

UNSAFE = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
"""Control characters, which are removed: a model must not move the cursor or set the terminal's title."""


class Terminal:
    """Writes lines to standard error. Text may come from errors, models and users; it is printed as it is."""

    def __init__(self) -> None:
        # Long lines are left to the terminal, so that addresses and commands can be copied whole.
        self.console = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)
        self.logs = False
        """Whether what is said goes to the log, whose form programs read."""

    def say(self, *parts: str | tuple[str, str]) -> None:
        """Print a line of parts; one in a style of rich's is a pair, such as `("Headwater", "bold")`."""
        if self.logs:
            logger.info("".join(part if isinstance(part, str) else part[0] for part in parts).strip())
            return
        safe = (part.translate(UNSAFE) if isinstance(part, str) else part for part in parts)
        self.console.print(Text.assemble(*safe))

    def fail(self, text: str, head: str, code: int) -> typer.Exit:
        """Print what went wrong, as a sentence; returns the exit to raise."""
        self.say((f"{head}:", "red"), f" {sentence(text)}")
        return typer.Exit(code)

    def settings(self, given: Mapping[str, Any]) -> "Settings":
        """The settings of the environment and of `.env`, under those given; exits with 2 where one is wrong."""
        # Imported here, so that `headwater --help` does not wait for pydantic.
        from pydantic import ValidationError

        from headwater.settings import Settings

        try:
            return Settings(**given)
        except ValidationError as error:
            for fault in error.errors():
                name = ".".join(map(str, fault["loc"])) or "settings"
                self.fail(fault["msg"].removeprefix("Value error, "), f"setting {name}", 2)
            raise typer.Exit(2) from error


def standard_output() -> Console:
    """Where what a command was asked for goes; text is printed as it is."""
    return Console(markup=False, highlight=False, emoji=False)


def write(*parts: str | Table) -> None:
    """Print lines and tables to standard output."""
    standard_output().print(*(part.translate(UNSAFE) if isinstance(part, str) else part for part in parts), sep="\n")


def table(*columns: str, rows: Sequence[Sequence[object]], names: int = 1) -> Table:
    """A table whose first columns are `names`, and whose others are numbers."""
    made = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number < names else "right", no_wrap=number == 0)
    for row in rows:
        made.add_row(*(Text(str(cell).translate(UNSAFE)) for cell in row))
    return made
