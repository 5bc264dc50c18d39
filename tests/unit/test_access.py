"""Keys, the key file, sessions and the limit on guesses, without a server."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.access import session
from headwater.access.attempts import ADDRESSES, MOST, WITHIN, Attempts
from headwater.access.keyfile import LOOK, KeyFile, KeyFileFailed, Keys
from headwater.access.keys import Keyring, generate, parse
from headwater.errors import Unsupported
from headwater.settings import Settings
from headwater.wiring.keys import keys_of

SECRET = b"secret of the store"


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_setting_names_a_tenant_for_each_key_and_a_key_alone_belongs_to_the_default() -> None:
    """Blanks around the commas are no part of a key."""
    ring = Keyring(parse(" acme:one-key , another-key ,me@example.org:third:key"))

    held = [ring.find(written) for written in ("one-key", "another-key", "third:key", "acme:one-key", "One-key", "")]

    assert [key and (key.id, key.tenant) for key in held] == [
        ("env1", "acme"),
        ("env2", "default"),
        ("env3", "me@example.org"),
        None,
        None,
        None,
    ]


@pytest.mark.parametrize("text", ["acme:", ":secret-word", "a b:secret-word", "acme:secret word", ",", "k1,acme:k1"])
def test_a_setting_that_holds_no_usable_key_is_refused_without_quoting_it(text: str) -> None:
    """A server whose operator meant to lock it must not start open."""
    with pytest.raises(Unsupported) as refused:
        keys_of(Settings.model_validate({"api_keys": text}))

    assert "HEADWATER_API_KEYS" in str(refused.value)
    assert not {"secret", "word", "k1"} & set(str(refused.value).replace("-", " ").split())


def test_the_key_file_holds_hashes_for_its_owner_alone(tmp_path: Path) -> None:
    """Whoever reads it has no key."""
    file = KeyFile(tmp_path / "folder" / "keys.json")
    key, written = generate("acme", "laptop")

    file.write([key])

    assert file.read() == [key]
    assert written.startswith(f"hw_{key.id}_")
    assert len(written.rpartition("_")[2]) == 64
    assert written.rpartition("_")[2] not in file.path.read_text()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path / "folder") == ["keys.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_key_that_root_makes_can_be_read_by_the_server(tmp_path: Path) -> None:
    """The server runs as another user, to whom the data directory belongs."""
    os.chown(tmp_path, 12345, 12345)
    file = KeyFile(tmp_path / "keys.json")

    for _ in range(2):
        file.write([generate("acme")[0]])
        assert file.path.stat().st_uid == 12345


def test_a_running_server_follows_its_key_file(tmp_path: Path) -> None:
    """The first key closes an open server; when the last one is gone it stays closed."""
    clock, file = Time(), KeyFile(tmp_path / "keys.json")
    (one, first), (two, second) = generate("a"), generate("b")
    keys = Keys([], file, clock=clock)

    def valid_after(content: Sequence[object] | None) -> tuple[bool, list[bool]]:
        if content is None:
            file.path.unlink()
        else:
            file.write([key for key in (one, two) if key in content])
        clock.now += LOOK
        return keys.required, [keys.current().find(written) is not None for written in (first, second)]

    assert not keys.required
    assert valid_after([one, two]) == (True, [True, True])
    assert valid_after([two]) == (True, [False, True])
    assert valid_after([]) == (True, [False, False])
    assert valid_after([one]) == (True, [True, False])
    assert valid_after(None) == (True, [False, False])


def test_a_damaged_key_file_lets_nobody_new_in_and_ends_no_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A half-saved edit must not lock everybody out; at the start it is an error."""
    clock, file = Time(), KeyFile(tmp_path / "keys.json")
    key, written = generate("a")
    file.write([key])
    keys = Keys([], file, clock=clock)
    file.path.write_text('{"keys": [')

    for _ in range(3):
        clock.now += LOOK
        assert keys.current().find(written) == key

    assert len(caplog.records) == 1
    with pytest.raises(KeyFileFailed, match="damaged"):
        Keys([], file)


def test_a_revocation_that_could_not_be_read_at_once_takes_effect_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file does not change again after the failure, which is reported once."""
    clock, file = Time(), KeyFile(tmp_path / "keys.json")
    key, written = generate("a")
    file.write([key])
    keys = Keys([], file, clock=clock)
    file.write([])
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", _unreadable)
        for _ in range(2):
            clock.now += LOOK
            assert keys.current().find(written) == key
    clock.now += LOOK

    assert keys.current().find(written) is None
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def _unreadable(path: Path) -> bytes:
    raise OSError(5, "Input/output error")


def test_a_named_key_file_that_is_not_there_yet_closes_the_server(tmp_path: Path) -> None:
    """A typing error in its path must not open it."""
    named = {"keys_file": tmp_path / "keys.json", "host": "0.0.0.0"}

    assert keys_of(Settings.model_validate(named)).required


@pytest.mark.parametrize(
    ("given", "starts"),
    [
        ({"host": "127.0.0.1"}, True),
        ({"host": "127.8.9.10"}, True),
        ({"host": "::1"}, True),
        ({"host": "localhost"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "::"}, False),
        ({"host": "192.168.1.5"}, False),
        ({"host": "box.example"}, False),
        ({"host": "0.0.0.0", "insecure": True}, True),
        ({"host": "0.0.0.0", "api_keys": "a-key"}, True),
    ],
    ids=str,
)
def test_a_server_without_a_key_listens_on_this_machine_only(
    given: dict[str, object], starts: bool, tmp_path: Path
) -> None:
    """The error names all three ways out."""
    settings = Settings.model_validate({"data_dir": tmp_path, **given})
    if starts:
        assert keys_of(settings).required == ("api_keys" in given)
        return
    with pytest.raises(Unsupported) as refused:
        keys_of(settings)
    assert all(way in str(refused.value) for way in ("headwater keys create", "--host 127.0.0.1", "--insecure"))


def test_a_session_ends_with_its_time_with_its_key_and_with_the_secret() -> None:
    """And with a key that took the place of the old one under its id."""
    (key,), (successor,) = parse("first-key"), parse("second-key")
    cookie = session.issue(key, SECRET, now=1000)

    assert session.holder(cookie, Keyring([key]), SECRET, 1000) == key
    assert session.holder(cookie, Keyring([key]), SECRET, 1000 + session.LIFE) is None
    assert session.holder(cookie, Keyring(), SECRET, 1000) is None
    assert session.holder(cookie, Keyring([successor]), SECRET, 1000) is None
    assert session.holder(cookie, Keyring([key]), b"another secret", 1000) is None
    assert "first-key" not in cookie


@given(st.text(max_size=120), st.integers(0, 80), st.sampled_from("0a.9 é"))
def test_no_other_text_is_a_session(noise: str, place: int, letter: str) -> None:
    """Neither noise nor a session with one changed letter; and no text is an error."""
    (key,) = parse("first-key")
    cookie = session.issue(key, SECRET, now=1000)
    changed = cookie[:place] + letter + cookie[place + 1 :]

    for text in {noise, changed} - {cookie}:
        assert session.holder(text, Keyring([key]), SECRET, 1000) is None


def test_an_address_may_try_a_few_wrong_keys_a_minute() -> None:
    """One of IPv6 counts with its network, whose other addresses the same person has."""
    clock = Time()
    attempts = Attempts(clock)
    for n in range(MOST):
        assert attempts.wait("203.0.113.5") == attempts.wait("2001:db8::1") == 0
        attempts.failed("203.0.113.5")
        attempts.failed(f"2001:db8::{n}")
    clock.now += WITHIN / 2

    assert attempts.wait("203.0.113.5") == attempts.wait("2001:db8::ffff") == WITHIN / 2
    assert attempts.wait("203.0.113.6") == attempts.wait("::ffff:203.0.113.5") == attempts.wait("2001:db8:1::1") == 0
    clock.now += WITHIN / 2
    assert attempts.wait("203.0.113.5") == 0


def test_the_memory_of_wrong_keys_is_bounded() -> None:
    """The addresses that were seen longest ago are forgotten first."""
    attempts = Attempts(Time())
    for _ in range(MOST):
        attempts.failed("old")
    for n in range(ADDRESSES - 1):
        attempts.failed(f"address {n}")
    assert attempts.wait("old") > 0

    attempts.failed("one more")

    assert attempts.wait("old") == 0
