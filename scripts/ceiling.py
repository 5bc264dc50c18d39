"""Fail if a file, a function or a parameter list exceeds its maximum size, or a file has a banned name."""

import ast
import subprocess
import sys
from pathlib import Path

FILE, FUNCTION, PARAMETERS = 400, 60, 6
BANNED = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "service", "base"}


def complaints(path: Path) -> list[str]:
    """The violations in one file, each as a line of text."""
    text = path.read_text()
    found = [f"{path}: {text.count(chr(10))} lines (ceiling {FILE})"] if text.count("\n") > FILE else []
    if path.stem in BANNED:
        found.append(f"{path}: name it after the idea it holds")
    if path.suffix != ".py":
        return found
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            parameters = [arg for arg in named if arg.arg not in ("self", "cls")]
            if lines > FUNCTION:
                found.append(f"{path}:{node.lineno} {node.name}: {lines} lines (ceiling {FUNCTION})")
            if len(parameters) > PARAMETERS and not path.is_relative_to("tests") and not is_command(node):
                found.append(f"{path}:{node.lineno} {node.name}: {len(parameters)} parameters (ceiling {PARAMETERS})")
    return found


def is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether the parameters are the options of a command line, which nobody passes by hand."""
    options = [each for each in node.args.defaults if ast.unparse(each).startswith("typer.")]
    return len(options) == len(node.args.args)


tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True, check=True)
files = [Path(name) for name in tracked.stdout.splitlines()]
found = [
    line
    for path in files
    if path.suffix in (".py", ".ts", ".tsx", ".css", ".lua") and path.is_file()
    for line in complaints(path)
]
print("\n".join(found) or f"sizes: {len(files)} files under the ceilings")
sys.exit(bool(found))
