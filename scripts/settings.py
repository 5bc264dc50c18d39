"""Renew the table in docs/settings.md from src/headwater/settings.py; run it in the root after a change of settings."""

from pathlib import Path

from headwater.settings import table

page = Path("docs/settings.md")
page.write_text(page.read_text().partition("| setting |")[0] + table())
