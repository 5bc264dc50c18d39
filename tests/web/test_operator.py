"""The operator's routes: who may call them, and that the operator's key is for nothing else."""

from pathlib import Path

import pytest
from serving import chat, headwater

from headwater.access.keyfile import KeyFile, Keys
from headwater.access.keys import parse
from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted
from headwater.settings import Settings
from headwater.web.gate import Ways, is_operators
from headwater.wiring.keys import ways_of

ANN, OPERATOR = "ann-key-0001", "operator-key-0001"
PATHS = ("/metrics", "/metrics/", "/api/operator/nothing", "/api/operator/", "/api/operator")
REACHED, UNKNOWN, OTHERS = 404, 401, 403
"""404: the request was let in, and no route has this path here."""


def keys(text: str = f"acme:{ANN}") -> Keys:
    """The keys of one tenant, or of none."""
    return Keys(parse(text), KeyFile(Path("/nonexistent/keys.json")))


def scripted() -> Scripted:
    """A model with a short answer."""
    return Scripted([TextDelta("x"), Finish("stop")])


CALLERS: list[tuple[dict[str, str], int]] = [
    ({"authorization": f"Bearer {OPERATOR}"}, REACHED),
    ({"x-api-key": OPERATOR}, REACHED),
    ({}, UNKNOWN),
    ({"accept": "text/html"}, UNKNOWN),
    ({"authorization": f"Bearer {OPERATOR}x"}, OTHERS),
    ({"authorization": f"Bearer {ANN}"}, OTHERS),
]


async def test_the_operators_routes_take_the_operators_key_only() -> None:
    """By their path, so that no route can forget it. A browser is not led to the login box, which would not help."""
    async with headwater(scripted(), keys=keys(), ways=Ways(OPERATOR)) as running:
        for written, status in CALLERS:
            for method in ("GET", "HEAD", "POST", "DELETE"):
                for path in (path for path in PATHS if path != "/metrics"):  # which may have a route
                    response = await running.client.request(method, path, headers=written)
                    assert (written, method, path, response.status_code) == (written, method, path, status)
                    assert ("www-authenticate" in response.headers) == (status == UNKNOWN)
                    assert not any(key in response.text for key in (ANN, OPERATOR))


async def test_a_server_with_keys_and_no_operators_key_says_what_to_set() -> None:
    """A tenant's key must not do, as any tenant would then see all the others."""
    async with headwater(scripted(), keys=keys()) as running:
        for headers in ({}, {"authorization": f"Bearer {ANN}"}):
            for path in PATHS:
                response = await running.client.get(path, headers=headers)
                assert response.status_code == OTHERS
                assert "HEADWATER_OPERATOR_KEY" in response.json()["detail"]


@pytest.mark.parametrize(
    ("operator", "local", "status"), [(None, True, REACHED), (None, False, OTHERS), (OPERATOR, True, UNKNOWN)]
)
async def test_without_any_key_the_operator_is_whoever_sits_at_the_machine(
    operator: str | None, local: bool, status: int
) -> None:
    """An open server that others reach has no operator's routes until a key is set; one that is set is needed."""
    async with headwater(scripted(), keys=keys(""), ways=Ways(operator, local)) as running:
        response = await running.client.get("/api/operator/nothing")
        assert response.status_code == status


async def test_the_operators_key_asks_no_model() -> None:
    """It names no tenant, and the refusal says so."""
    model = scripted()
    async with headwater(model, keys=keys(), ways=Ways(OPERATOR)) as running:
        response = await running.client.post(
            "/api/stream/completion/chat", json=chat(), headers={"authorization": f"Bearer {OPERATOR}"}
        )

    assert response.status_code == OTHERS
    assert "names no tenant" in response.json()["detail"]
    assert model.prompts == []


def test_the_paths_of_the_operator_are_exact() -> None:
    """`/metricsx` is not one, so that it is not open to the operator's key by accident."""
    assert all(is_operators(path) for path in PATHS)
    assert not any(is_operators(path) for path in ("/metricsx", "/api/operators", "/api/metrics", "/", ""))


def test_a_server_behind_a_proxy_is_not_local() -> None:
    """Whoever passes the proxy would be the operator."""
    given: list[dict[str, str]] = [{}, {"host": "0.0.0.0"}, {"proxies": "127.0.0.1"}, {"hosts": "app.example"}]
    assert [ways_of(Settings.model_validate(each)).local for each in given] == [True, False, False, False]


def test_the_settings_set_the_operators_key(tmp_path: Path) -> None:
    """The key is in no text of the settings."""
    settings = Settings.model_validate({"operator_key": f" {OPERATOR}\n", "model": "echo", "data_dir": tmp_path})
    assert OPERATOR not in repr(settings)
    assert settings.operator_key is not None
    assert settings.operator_key.get_secret_value() == OPERATOR
