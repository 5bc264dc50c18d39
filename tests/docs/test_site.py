"""The documentation as a site: every page is there, every link leads somewhere, and llms.txt finds all of it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = """
import logging
import sys
from mkdocs.commands.build import build
from mkdocs.config import load_config
logging.basicConfig()
build(load_config("mkdocs.yml", docs_dir=sys.argv[1], site_dir=sys.argv[2]))
"""


def mkdocs(docs: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build a folder of pages with this repository's configuration."""
    program = [sys.executable, "-c", BUILD, str(docs), str(site)]
    return subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    site = tmp_path_factory.mktemp("site")
    built = mkdocs(ROOT / "docs", site)
    assert built.returncode == 0, built.stderr
    return site


def test_every_page_is_on_the_site_and_in_its_navigation(site: Path) -> None:
    """The configuration is strict: a page that the navigation leaves out fails the build."""
    pages = [path.relative_to(ROOT / "docs").with_suffix(".html") for path in ROOT.glob("docs/**/*.md")]
    pages += [Path(name) for name in ("changelog.html", "contributing.html", "security.html", "guide.html")]
    overview = (site / "index.html").read_text()

    assert [page for page in pages if not (site / page).is_file()] == []
    assert [page for page in pages if f'href="{page}"' not in overview and page != Path("index.html")] == []


def test_the_site_asks_no_other_site_for_anything(site: Path) -> None:
    """No font, script or picture comes from elsewhere, so that the pages also work offline and tell nobody."""
    foreign = re.compile(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"')

    assert {page.name: foreign.findall(page.read_text()) for page in site.glob("*.html")} == {
        page.name: [] for page in site.glob("*.html")
    }


@pytest.mark.parametrize(
    ("written", "complaint"),
    [("[here](concepts.md#no-such-heading)", "no-such-heading"), ("[here](no-such-page.md)", "no-such-page.md")],
    ids=["anchor", "page"],
)
def test_a_link_that_leads_nowhere_fails_the_build(written: str, complaint: str, tmp_path: Path) -> None:
    """Otherwise the check would be one that cannot fail."""
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs)
    with (docs / "index.md").open("a") as page:
        page.write(f"\n{written}\n")

    built = mkdocs(docs, tmp_path / "site")

    assert built.returncode != 0
    assert complaint in built.stderr


def test_llms_txt_leads_to_files_here_and_to_pages_on_the_site(site: Path) -> None:
    """And names every page but this site's overview."""
    links = r"\]\(([^)#]+)\)"
    here = re.findall(links, (ROOT / "llms.txt").read_text())
    there = re.findall(links, (site / "llms.txt").read_text())

    assert [name for name in here if not (ROOT / name).is_file()] == []
    assert [name for name in there if not (site / name).is_file()] == []
    assert len(here) == len(there) > 10
    top = {f"docs/{path.name}" for path in ROOT.glob("docs/*.md")} - {"docs/index.md"}
    assert sorted(top - set(here)) == []
