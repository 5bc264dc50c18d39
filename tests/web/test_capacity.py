"""The limit on streams by open files."""

import os
from contextlib import ExitStack

import pytest
from starlette.requests import Request

from headwater.errors import OverLimit
from headwater.principal import ANYONE, Principal
from headwater.web import capacity
from headwater.web.capacity import Capacity, OpenFiles, ServerFull, streams

REQUEST = Request({"type": "http", "client": ("127.0.0.1", 1), "headers": []})
ALICE = Principal("acme", "alice")


def test_without_a_limit_every_stream_fits() -> None:
    """As in an app that includes the router, whose files are its own business."""
    unlimited = Capacity()
    for _ in range(1000):
        with unlimited.claim(REQUEST, ALICE):
            unlimited.check(REQUEST, ALICE)


def test_a_client_has_all_addresses_of_its_network_of_ipv6() -> None:
    """So the limit on one client is that of its /64."""

    def of(address: str) -> Request:
        return Request({"type": "http", "client": (address, 1), "headers": []})

    limited = Capacity(each=1)
    with limited.claim(of("2001:db8::1"), ANYONE):
        with pytest.raises(OverLimit):
            limited.check(of("2001:db8::2"), ANYONE)
        limited.check(of("2001:db8:0:1::1"), ANYONE)


def test_a_tiny_limit_leaves_half_of_the_files_to_streams() -> None:
    """A large one leaves all but a hundred."""
    assert (streams(20_000), streams(64)) == (9950, 16)


def test_claims_under_way_count_as_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their connections to the provider are not open yet, so a rush of requests is limited too."""
    monkeypatch.setattr(capacity, "_open_files", lambda: 10)
    limited = Capacity(28)  # of which 14 are for streams
    held, claims = 0, ExitStack()
    with pytest.raises(ServerFull):
        while True:
            claims.enter_context(limited.claim(REQUEST, ALICE))
            held += 1
    assert held <= 4 + 1
    claims.close()
    limited.check(REQUEST, ALICE)


def test_the_files_are_counted_seldom_while_many_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """On some systems to count them takes milliseconds."""
    counts = 0

    def counted() -> int:
        nonlocal counts
        counts += 1
        return 100

    monkeypatch.setattr(capacity, "_open_files", counted)
    files = OpenFiles(10_000)
    assert all(files.fit() for _ in range(2_000))
    assert counts == 1


def test_the_count_is_that_of_this_process() -> None:
    """With the kernel's own number where there is one."""
    before = capacity._open_files()  # pyright: ignore[reportPrivateUsage]
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]
    assert capacity._open_files() >= before + 49  # pyright: ignore[reportPrivateUsage]
    for file in held:
        os.close(file)
