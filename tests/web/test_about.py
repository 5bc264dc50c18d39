"""What the page is told of a server at `/api/about`."""

from serving import serving
from test_keys import ANN, bearer

from headwater.settings import Settings
from headwater.wiring.server import server


async def test_the_page_is_told_the_models_their_limits_and_whether_a_login_is_needed() -> None:
    """The echo model takes no images; a model that only completes texts is none to choose for a chat."""
    given = {
        "model": "openai:gpt-4o-mini",
        "openai_api_key": "sk-x",
        "allowed_models": ["gpt-4o", "echo"],
        "completion_model": "gpt-3.5-turbo-instruct",
        "store": "memory:",
        "max_body": 123_456,
    }
    open_, locked = server(Settings(**given)), server(Settings(**given, api_keys=f"acme:{ANN}"))
    async with serving(open_.app) as client:
        about = (await client.get("/api/about")).json()
    async with serving(locked.app) as client:
        inside = (await client.get("/api/about", headers=bearer(ANN))).json()
    await open_.answers.aclose()
    await locked.answers.aclose()

    assert about["models"] == [
        {"name": "openai:gpt-4o-mini", "images": True},
        {"name": "gpt-4o", "images": True},
        {"name": "echo", "images": False},
    ]
    assert (about["max_body"], about["keys"], inside["keys"]) == (123_456, False, True)
