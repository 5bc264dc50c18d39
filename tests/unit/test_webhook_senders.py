"""Webhooks are signed, and sent to no address that the operator does not mean."""

import base64
from typing import Any

import pytest

from headwater.errors import Unsupported
from headwater.settings import Settings
from headwater.webhooks.sender import Sender, WebhookRefused, is_public, key_of, signature
from headwater.wiring.webhooks import webhooks as of_settings

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:93.184.216.34", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    """Whatever is a machine's own, a network's, or hides another address, is no address of the internet."""
    assert is_public(address) is public


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest",
        "https://2130706433/",
        "https://127.1/",
        "https://user:password@example.com/",
        "http://example.com/",
        "https://other.example/",
        "https:///",
        "https://example.com:99999/",
        "file:///etc/passwd",
        "https://example.com/\r\nX: y",
        "https://example.com/" + "a" * 3000,
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    """Also where any host may be named: what looks like a private address, or is no plain HTTPS."""
    sender = Sender(SECRET, [], ["*"] if "other" not in url else ["*.example.com"])
    with pytest.raises(WebhookRefused):
        sender.check(url)


def test_the_signature_is_that_of_the_specification() -> None:
    """The example with which the libraries of Standard Webhooks are tested."""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"webhook": "https://hooks.example/"}, "HEADWATER_WEBHOOK_SECRET"),
        ({"webhook": "https://hooks.example/", "webhook_secret": "short"}, "24 bytes"),
        ({"webhook": "hooks.example", "webhook_secret": SECRET}, "HEADWATER_WEBHOOK:"),
    ],
)
def test_settings_that_cannot_work(given: dict[str, Any], wrong: str) -> None:
    """They are named when the server starts."""
    with pytest.raises(Unsupported, match=wrong):
        of_settings(Settings(**given))
