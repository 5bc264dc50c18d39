"""The documents agree with the code: what they name exists, and what exists is named."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from serving import headwater

from headwater import errors
from headwater.dialects.native.openapi import SENT
from headwater.errors import HeadwaterError, StoreError, Unsupported
from headwater.events import Event, Unknown
from headwater.models.scripted import Scripted
from headwater.telemetry.metrics import Metrics
from headwater.web.routes.doors import DOORS

ROOT = Path(__file__).parents[2]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
GUIDES = [ROOT / "ui" / "README.md", *ROOT.glob("ui/packages/*/README.md"), *ROOT.glob("examples/*/README.md")]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *GUIDES]
NUMBERED = [document for document in DOCUMENTS if "| requirement | test |" in document.read_text()]

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@each_document
def test_every_test_that_a_document_names_is_there(document: Path) -> None:
    """A requirement whose test was renamed would look tested, and not be."""
    for row in document.read_text().splitlines():
        files = [ROOT / name for name in re.findall(r"`((?:tests|src)/[\w/]+\.py)`", row)]
        assert [file for file in files if not file.is_file()] == []
        source = "".join(file.read_text() for file in files)
        assert [name for name in re.findall(r"`(test_\w+)`", row) if f"def {name}(" not in source] == []


@pytest.mark.parametrize("document", NUMBERED, ids=lambda path: path.name)
def test_every_requirement_has_a_test(document: Path) -> None:
    """And stands in the table of tests once for each, in order."""
    text, _, table = document.read_text().partition("| requirement | test |")
    numbers = re.findall(r"^(?:- )?\*\*([A-Z]\d+)\*\*", text, re.MULTILINE)
    cells = re.findall(r"^\| ([A-Z]\d[^|]*) \|", table, re.MULTILINE)
    tested = [number for cell in cells for number in cell.split(", ")]

    assert len(numbers) == len(set(numbers)) > 10
    assert list(dict.fromkeys(tested)) == numbers


@each_document
def test_every_link_to_a_file_leads_to_it(document: Path) -> None:
    """With its heading, where it names one."""
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = document.parent / path if path else document
        assert file.exists(), target
        headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE) if anchor else []
        slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in slugs, target


def test_the_architecture_names_what_there_is() -> None:
    """Every folder and file at the top of the package; and no file that is not there, plans aside."""
    package = ROOT / "src" / "headwater"
    top = [path for path in package.iterdir() if not path.name.startswith("__") and path.name != "static"]
    text, _, plans = ARCHITECTURE.partition("\n## Where does it go?")
    named = set(re.findall(r"`([\w/]+\.(?:py|md))`", text))

    assert plans
    assert [path.name for path in top if path.suffix == ".py" and f"`{path.name}`" not in text] == ["version.py"]
    folders = [path.name for path in top if any(path.glob("*.py"))]
    assert [name for name in folders if f"`{name}/`" not in text] == []
    places = [package, ROOT, *(path for path in package.iterdir() if path.is_dir())]
    assert [name for name in sorted(named) if not any((place / name).is_file() for place in places)] == []


def test_every_event_and_every_field_of_it_is_in_the_protocol() -> None:
    """An event without a row in the document would be ignored by every client that was written from it."""
    assert {kind.__struct_config__.tag for kind in SENT} == {
        kind.__struct_config__.tag for kind in get_args(Event) if kind is not Unknown
    }
    table = PROTOCOL.partition("\n## Events\n")[2].partition("\n## ")[0]
    rows = {row.split("`")[1]: row for row in table.splitlines() if row.startswith("| `")}
    for kind in SENT:
        info = msgspec.inspect.type_info(kind)
        assert isinstance(info, msgspec.inspect.StructType)
        for field in info.fields:
            assert f"`{field.name}`" in rows[str(info.tag)], (info.tag, field.name)


async def test_every_route_is_in_the_protocol() -> None:
    """With its method; and the document names no others. Those of other dialects are in the pages of their clients."""
    async with headwater(Scripted([]), metrics=Metrics()) as server:
        described = (await server.client.get("/openapi.json")).json()
    served = {f"{method.upper()} {path}" for path, methods in described["paths"].items() for method in methods}
    table = PROTOCOL.partition("\n## Routes\n")[2].partition("\n## ")[0]
    named = {
        route for row in table.splitlines() if row.startswith("|") for route in re.findall(r"`([A-Z]+ /\S+)`", row)
    }

    doors = {route.replace(":path", "") for door in DOORS for route in door.routes}
    pages = "".join(page.read_text() for page in sorted((ROOT / "docs" / "clients").glob("*.md")))

    assert named == (served - doors) | {"GET /openapi.json"}
    assert doors <= served
    assert [route for route in sorted(doors) if f"`{route}`" not in pages] == []


def test_every_error_code_is_in_the_protocol() -> None:
    """Those that have a class of their own; providers' codes are named where they are made."""
    stores = {kind.code for kind in StoreError.__subclasses__()}
    inner = {*stores, Unsupported.code, "cannot_continue", "client_gone"}  # never leave the server
    inner.add("no_such_chat")  # the AI SDK gets a sentence without a code
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.code for kind in kinds if issubclass(kind, HeadwaterError)}
    source = [file for file in (ROOT / "src" / "headwater").rglob("*.py") if "client" not in file.parts]
    made = {code for file in source for code in re.findall(r'(?:code=|^    code = )"(\w+)"', file.read_text(), re.M)}
    told = PROTOCOL + "".join(page.read_text() for page in (ROOT / "docs" / "clients").glob("*.md"))

    assert len(codes) > 8
    assert [code for code in sorted((codes | made) - inner) if f"`{code}`" not in told] == []
