"""Generate docs/settings.md from src/headwater/settings.py; run it in the root after a change of settings."""

from pathlib import Path

from headwater.settings import table

INTRO = """# Settings

Set these in the environment, or in a `.env` file in the working directory; the environment wins. Times are in seconds.
Each setting is also an option of `headwater serve`: the common ones by name, any other as `--set NAME=VALUE`. Other
variables in `.env`, such as another provider's `ANTHROPIC_API_KEY`, are put into the server's environment, where
LangChain's packages look for them.

"""

Path("docs/settings.md").write_text(INTRO + table())
