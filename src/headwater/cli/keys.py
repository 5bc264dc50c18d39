"""`headwater keys`: make, list and revoke the keys that `headwater serve` lets in."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from headwater.cli.terminal import Terminal
from headwater.errors import HeadwaterError

if TYPE_CHECKING:
    from headwater.access.keyfile import KeyFile

keys = typer.Typer(
    help="Make, list and revoke the keys that let people and programs in. They are kept as hashes, in a file.",
    no_args_is_help=True,
)


@keys.command()
def create(
    tenant: str = typer.Option("default", help="Tenant of the key; tenants never share answers."),
    label: str = typer.Option("", help="What the key is for, in the list."),
) -> None:
    """Make a key and print it, this once. The first one closes the server to everybody without a key."""
    from headwater.access.keys import generate

    with _opened() as (terminal, file):
        try:
            key, written = generate(tenant, label)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        file.write([*file.read(), key])
        terminal.say(f"Key {key.id} of tenant {tenant}. {file.path} keeps its hash; the key itself is shown only now:")
        typer.echo(written)


@keys.command("list")
def show() -> None:
    """List the keys in the file: id, tenant, time of creation and label. Not the keys themselves."""
    with _opened() as (terminal, file):
        found = file.read()
        for key in found:
            typer.echo("\t".join((key.id, key.tenant, key.created, key.label)).rstrip())
        if not found:
            terminal.say(f"There is no key in {file.path}. Make one with: headwater keys create")


@keys.command()
def revoke(id: str = typer.Argument(help="The id of the key, as the list shows it.")) -> None:
    """Make a key invalid, and end its sessions. Running servers refuse it within a second."""
    with _opened() as (terminal, file):
        found = file.read()
        left = [key for key in found if key.id != id]
        if len(left) == len(found):
            terminal.say(f"There is no such key in {file.path}. List them with: headwater keys list")
            raise typer.Exit(1)
        file.write(left)
        terminal.say(f"Key {id} is revoked.")


@contextmanager
def _opened() -> Generator[tuple[Terminal, "KeyFile"], None, None]:
    """The key file of the settings, locked, so that two commands at once lose no key."""
    import fcntl

    from headwater.wiring.keys import key_file

    terminal = Terminal()
    try:
        file = key_file(terminal.settings({}))
        file.path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(file.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield terminal, file
        finally:
            os.close(folder)
    except (HeadwaterError, OSError) as error:
        raise terminal.fail(str(error), "headwater", 1) from error
