"""The `headwater` command."""

import typer

from headwater.cli.ask import ask
from headwater.cli.doctor import doctor
from headwater.cli.keys import keys
from headwater.cli.operate import cache, streams, top
from headwater.cli.serve import serve
from headwater.cli.tail import tail
from headwater.version import VERSION

app = typer.Typer(name="headwater", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(serve)
app.command()(ask)
app.command()(tail)
app.command()(doctor)
app.command()(top)
app.command()(streams)
app.add_typer(keys, name="keys")
app.add_typer(cache, name="cache")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"headwater {VERSION}")
        raise typer.Exit


@app.callback()
def main(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Streams LLM answers from any LangChain model, caches them, and never loses one."""
