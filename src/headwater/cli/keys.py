"""`headwater keys`: make, list and revoke the keys that `headwater serve` lets in."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from headwater.errors import HeadwaterError

if TYPE_CHECKING:
    from headwater.access.keyfile import KeyFile

keys = typer.Typer(
    help="Make, list and revoke the keys that let people and programs in. They are kept as hashes, in a file.",
    no_args_is_help=True,
)


@keys.command()
def create(
    tenant: str = typer.Option("default", help="Whose answers the key sees: tenants never share any."),
    label: str = typer.Option("", help="What the key is for, in the list."),
) -> None:
    """Make a key and print it, this once. The first one closes the server to everybody without a key."""
    from headwater.access.keys import generate

    with _opened() as (console, file):
        try:
            key, written = generate(tenant, label)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        file.write([*file.read(), key])
        console.print(f"Key {key.id} of tenant {tenant}. {file.path} keeps its hash; the key itself is shown only now:")
        typer.echo(written)


@keys.command("list")
def show() -> None:
    """List the keys in the file: id, tenant, time of creation and label. Not the keys themselves."""
    with _opened() as (console, file):
        found = file.read()
        for key in found:
            typer.echo("\t".join((key.id, key.tenant, key.created, key.label)).rstrip())
        if not found:
            console.print(f"There is no key in {file.path}. Make one with: headwater keys create")


@keys.command()
def revoke(id: str = typer.Argument(help="The id of the key, as the list shows it.")) -> None:
    """Make a key invalid, and end its sessions. Running servers refuse it within a second."""
    with _opened() as (console, file):
        found = file.read()
        left = [key for key in found if key.id != id]
        if len(left) == len(found):
            console.print(f"There is no such key in {file.path}. List them with: headwater keys list")
            raise typer.Exit(1)
        file.write(left)
        console.print(f"Key {id} is revoked.")


@contextmanager
def _opened() -> Generator[tuple[Console, "KeyFile"], None, None]:
    """The key file of the settings, locked, so that two commands at once lose no key."""
    import fcntl

    from pydantic import ValidationError

    from headwater.settings import Settings
    from headwater.wiring.keys import key_file

    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    try:
        file = key_file(Settings.model_validate({}))
        file.path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(file.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield console, file
        finally:
            os.close(folder)
    except ValidationError as error:
        for fault in error.errors():
            console.print(f"headwater: setting {'.'.join(map(str, fault['loc']))}: {fault['msg']}")
        raise typer.Exit(2) from error
    except (HeadwaterError, OSError) as error:
        console.print(f"headwater: {error}")
        raise typer.Exit(1) from error
