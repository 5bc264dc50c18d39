"""One version: that of the Python package, in every manifest."""

import json
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
UI = ROOT / "ui"


def manifest(path: Path) -> dict[str, Any]:
    """A JSON file of the front end."""
    return json.loads(path.read_text())


def test_the_packages_have_the_version_of_the_server() -> None:
    """A page of one version and a server of another are told apart by it; a release has one number to raise."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    lock = manifest(UI / "package-lock.json")["packages"]
    for folder in ("packages/client", "packages/react", "page"):
        package = manifest(UI / folder / "package.json")
        ours = {
            name: wanted for name, wanted in package.get("dependencies", {}).items() if name.startswith("@headwater/")
        }
        assert package["version"] == lock[folder]["version"] == version, folder
        assert set(ours.values()) <= {version}, folder


def test_what_npm_shows_is_there() -> None:
    """With a licence, no address of a repository, and React as the app's own."""
    for folder in ("packages/client", "packages/react"):
        package = manifest(UI / folder / "package.json")
        assert package["license"] == "Apache-2.0"
        assert package["sideEffects"] is False
        assert package["files"] == ["dist"]
        assert "private" not in package
        assert not {"repository", "bugs", "homepage"} & set(package)
    react = manifest(UI / "packages/react/package.json")
    assert react["peerDependencies"] == {"react": ">=18"}
    assert "dependencies" not in manifest(UI / "packages/client/package.json")


def test_the_lock_file_names_no_registry() -> None:
    """npm takes each package from the registry that the machine is set to."""
    links = [
        package["resolved"]
        for package in manifest(UI / "package-lock.json")["packages"].values()
        if "resolved" in package
    ]
    assert sorted(links) == ["packages/client", "packages/react", "page"]
