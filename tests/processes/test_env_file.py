"""Variables in `.env` that are not Headwater's reach the packages that read them."""

import os
from pathlib import Path
from unittest.mock import patch

import pytest
from servers import serve
from serving import chat, parse, text_of

import headwater
from headwater.settings import Settings, export_env_file

PACKAGE = """
import os
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel

def ChatAnthropic(**options):
    return GenericFakeChatModel(messages=iter([os.environ.get("ANTHROPIC_API_KEY", "none")]))
"""


async def test_another_providers_key_reaches_its_package(tmp_path: Path) -> None:
    """A LangChain name selects the package, which reads its key from the environment."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "langchain_anthropic.py").write_text(PACKAGE)
    (tmp_path / ".env").write_text("ANTHROPIC_API_KEY=key-of-the-file\nHEADWATER_MODEL=anthropic:claude\n")
    async with serve(tmp_path, PYTHONPATH=str(site), HEADWATER_STORE="memory:", ANTHROPIC_API_KEY="") as server:
        answer = await server.client.post("/api/stream/completion/chat", json=chat())
    assert text_of(parse(answer.content)) == "key-of-the-file"


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with variables of both kinds."""
    lines = ["A_KEY=file", 'QUOTED="a b"', "EMPTY=", "TAKEN=file", "OPENAI_API_KEY=sk-file", "headwater_port=1"]
    (tmp_path / ".env").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("env_file")
def test_only_the_variables_of_others_are_exported() -> None:
    """The environment wins, empty values count as absent, and Headwater's own settings stay in the file."""
    with patch.dict(os.environ, {"TAKEN": "environment"}, clear=True):
        export_env_file()
        assert os.environ == {"TAKEN": "environment", "A_KEY": "file", "QUOTED": "a b"}


@pytest.mark.usefixtures("env_file")
def test_a_router_leaves_the_environment_of_its_app_alone() -> None:
    """It only reads its settings there."""
    with patch.dict(os.environ, {}, clear=True):
        headwater.router(model="echo", store="memory:")
        assert Settings.model_validate({}).openai_api_key is not None
        assert os.environ == {}


def test_no_file_is_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most servers have none."""
    monkeypatch.chdir(tmp_path)
    with patch.dict(os.environ, {}, clear=True):
        export_env_file()
        assert os.environ == {}
