"""What README.md and the docs show can be pasted: every snippet is run or compiled.

How a fence is marked decides: `python` is run as a program of its own; of `sh` and `console` every command is parsed,
those that only talk to a server are run, and the options of `headwater` and the targets of `make` must exist; `ts` and
`tsx` are compiled. Anything else, such as `text`, is not a program. In `console`, commands follow a `$`, and the other
lines are their output. Of two words after the fence, only the first decides: a page may give a title.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import typer.main

from hatch_build import npm
from headwater.cli.main import app

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs/**", "ui", "ui/packages/*")
PAGES = [ROOT / "README.md", *(page for folder in FOLDERS for page in sorted(ROOT.glob(f"{folder}/*.md")))]
SHELL, TYPESCRIPT = ("sh", "console"), ("ts", "tsx")
FENCE = re.compile(r"^( *)```(\w+)?[^\n`]*\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
LOCAL = re.compile(r"(?:127\.0\.0\.1|localhost):8000")
ASSIGNMENT = re.compile(r"[A-Z_]+=")
COMMAND = re.compile(r"^.*<<'(\w+)'.*\n(?:.*\n)*?\1$|^.*\S.*$", re.MULTILINE)
"""A command with its here-document, or a line."""


class Snippet(NamedTuple):
    """A fenced block: where it is, how it is marked, and its text."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a shell snippet, each in one piece."""
        text = self.text.replace("\\\n", "")
        if self.language == "console":
            return [line[2:] for line in text.splitlines() if line.startswith("$ ")]
        return [match[0] for match in COMMAND.finditer(text) if not match[0].startswith("#")]


def snippets() -> list[Snippet]:
    """Every block of every page. One without a mark that begins with a prompt is a console."""
    found: list[Snippet] = []
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            indent, language, body = match.groups()
            body = re.sub(rf"^{indent}", "", body, flags=re.MULTILINE)
            language = language or ("console" if body.startswith("$ ") else "text")
            found.append(Snippet(page, text.count("\n", 0, match.start()) + 1, language, body))
    return found


EVERY = snippets()
PROGRAMS = [snippet for snippet in EVERY if snippet.language == "python"]
SHELLS = [snippet for snippet in EVERY if snippet.language in SHELL]


class Server(NamedTuple):
    """A server whose echo model answers, and the environment of a reader who talks to it."""

    address: str
    environment: dict[str, str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server, None, None]:
    """One `headwater serve` for all snippets, on a free port."""
    folder = tmp_path_factory.mktemp("data")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWATER_", "OPENAI_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # The key belongs to nobody: some programs build a model of OpenAI's, and none of them calls it.
    environment = {**clean, "PATH": path, "HEADWATER_DATA_DIR": str(folder), "OPENAI_API_KEY": "sk-nobody"}
    command = [sys.executable, "-m", "headwater", "serve", "--model", "echo", "--port", "0"]
    with (folder / "said.txt").open("w+") as said:
        process = subprocess.Popen(command, env=environment, cwd=folder, stderr=said)
        try:
            address = _address(process, Path(said.name))
            yield Server(address, environment)
        finally:
            process.terminate()
            process.wait(20)


def _address(process: "subprocess.Popen[bytes]", said: Path) -> str:
    while not (found := re.search(r"http://(127\.0\.0\.1:\d+)", said.read_text())):
        assert process.poll() is None, said.read_text()
    httpx.get(f"{found[0]}/healthz", timeout=30).raise_for_status()
    return found[1]


@pytest.mark.parametrize("snippet", PROGRAMS, ids=str)
def test_a_python_snippet_runs_as_it_is_pasted(snippet: Snippet, server: Server, tmp_path: Path) -> None:
    """Into a file of its own, by a reader who has a server on the usual port; it ends by itself."""
    # What docs/extending.md has readers write themselves.
    (tmp_path / "my_store.py").write_text("from headwater.log.memory import MemoryStore as MyStore\n")
    program = tmp_path / "snippet.py"
    program.write_text(LOCAL.sub(server.address, snippet.text))

    run = subprocess.run(
        [sys.executable, program.name],
        cwd=tmp_path,
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("snippet", SHELLS, ids=str)
def test_a_shell_snippet_is_one_and_names_what_exists(snippet: Snippet) -> None:
    """A typing mistake, an option that has gone, or a target that was renamed would stop a reader."""
    command = typer.main.get_command(app)
    for line in snippet.commands:
        parsed = subprocess.run(["bash", "-n"], input=line, capture_output=True, text=True, check=False)
        assert (parsed.returncode, parsed.stderr) == (0, ""), line
        words = shlex.split(line, comments=True)
        while words and ASSIGNMENT.match(words[0]):
            words.pop(0)
        if words and words[0].rpartition("/")[2] == "headwater" and words[1:] and not words[1].startswith("-"):
            used = command.commands[words[1]]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
            if not hasattr(used, "commands"):  # pyright: ignore[reportUnknownArgumentType]
                used.make_parser(used.context_class(used)).parse_args(args=words[2:])  # pyright: ignore[reportUnknownMemberType]
        if words and words[0] == "make":
            dry = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
            assert dry.returncode == 0, dry.stderr


@pytest.mark.parametrize("page", sorted({snippet.page for snippet in SHELLS}), ids=lambda page: page.name)
def test_the_commands_that_talk_to_a_server_work(page: Path, server: Server, tmp_path: Path) -> None:
    """In the order of the page, in one shell, since later ones use what earlier ones have set."""
    asks = [line for snippet in SHELLS if snippet.page == page for line in snippet.commands if _asks(line)]
    if not asks:
        return
    if shutil.which("curl") is None:
        pytest.skip("no curl here; install Debian's package curl")
    script = LOCAL.sub(server.address, "\n".join(["set -e", *asks]))

    run = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**server.environment, "HEADWATER_PORT": server.address.partition(":")[2]},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout


def _asks(line: str) -> bool:
    """Whether a command only talks to the server, or keeps what it said for the next one."""
    return bool(LOCAL.search(line) and line.startswith("curl ")) or "headwater ask " in line or "=$(sed " in line


def test_the_typescript_snippets_compile() -> None:
    """Against the packages as they are, as strictly as the page itself."""
    ui = ROOT / "ui"
    sources = [snippet for snippet in EVERY if snippet.language in TYPESCRIPT]
    assert sources
    compiler = ui / "node_modules" / ".bin" / "tsc"
    if not compiler.exists():
        pytest.skip("the front end's packages are not installed; `scripts/ui.py check` installs them")
    with tempfile.TemporaryDirectory(dir=ui, prefix=".snippets-") as folder:
        # One module each; those without an import would share their names otherwise.
        for number, snippet in enumerate(sources):
            Path(folder, f"snippet{number}.tsx").write_text(f"{snippet.text}\nexport {{}}\n")
        # A reader goes on with what a snippet declares.
        loose = '"noUnusedLocals": false, "noUnusedParameters": false'
        Path(folder, "tsconfig.json").write_text(
            f'{{"extends": "../tsconfig.json", "compilerOptions": {{{loose}}}, "include": ["*.tsx"]}}'
        )
        run = subprocess.run(
            [compiler, "-p", folder], env=npm()[1], capture_output=True, text=True, timeout=55, check=False
        )
    names = {f"snippet{number}.tsx": str(snippet) for number, snippet in enumerate(sources)}

    assert run.returncode == 0, f"{names}\n{run.stdout}"


def test_there_are_snippets_of_every_kind() -> None:
    """If their marks were mistyped, nothing would have been checked."""
    assert len(PROGRAMS) > 5
    assert any(_asks(line) for snippet in SHELLS for line in snippet.commands)
