"""Hooks of mkdocs: the site also shows some files of the root, and its pages link as they do in the repository.

The pages are written for two readers, a repository's file view and the site. A link to a file outside `docs/`, such as
`../examples/nextjs`, has no target on the site; its words remain there without a link.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    name: f"{Path(name).stem.lower()}.md"
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "src/headwater/GUIDE.md")
}
"""Files outside `docs/` that are pages of the site, with their names there."""

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside `docs/`, llms.txt and the logo."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text()))
    llms = _LINK.sub(lambda link: _llms_link(*link.groups()), (ROOT / "llms.txt").read_text())
    files.append(File.generated(config, "llms.txt", content=llms))
    files.append(File.generated(config, "images/mark.svg", abs_src_path=str(ROOT / "ui/page/public/mark.svg")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at the pages of the site; of a link that leads out of it, leave the words."""
    source = page.file.src_uri
    origin = next((name for name, there in PAGES.items() if there == source), f"docs/{source}")
    return _LINK.sub(lambda link: _link(origin, source, link[0], *link.groups()), markdown)


def _link(origin: str, source: str, written: str, words: str, target: str, anchor: str | None) -> str:
    """One link of the file `origin` of the repository, as the page `source` of the site has it."""
    if "://" in target or target.startswith("mailto:"):
        return written
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
    if path in PAGES:
        path = f"docs/{PAGES[path]}"
    if not path.startswith("docs/"):
        return words
    there = posixpath.relpath(path.removeprefix("docs/"), posixpath.dirname(source) or ".")
    return f"[{words}]({there}{anchor or ''})"


def _llms_link(words: str, target: str, anchor: str | None) -> str:
    """One link of llms.txt, to a page of the site."""
    page = PAGES.get(target, target.removeprefix("docs/")).removesuffix(".md")
    return f"[{words}]({page}.html{anchor or ''})"
