"""Write docs/settings.md from settings.py, so that the two cannot disagree."""

from pathlib import Path

from headwater.settings import table

INTRO = """# Settings

All through the environment or a `.env` file in the working directory; the environment wins. Times are in seconds.
Each is also an option of `headwater serve`: the common ones by name, any other by `--set NAME=VALUE`. Other variables
in `.env`, such as another provider's `ANTHROPIC_API_KEY`, are put into the server's environment, where LangChain's
packages look for them.

"""

Path("docs/settings.md").write_text(INTRO + table())
