"""Webhooks under the settings."""

from urllib.parse import urlsplit

from headwater.errors import Unsupported
from headwater.settings import Settings
from headwater.webhooks.queue import Webhooks
from headwater.webhooks.sender import Sender, WebhookRefused


def webhooks(settings: Settings) -> Webhooks:
    """Who is told of the ends of answers. Raises `Unsupported` for settings that cannot work."""
    secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else ""
    hosts = settings.webhook_hosts
    try:
        own = Sender(secret, [urlsplit(settings.webhook or "").hostname or ""])
        asked = Sender(secret, [host for host in hosts if "*" not in host], [host for host in hosts if "*" in host])
        if settings.webhook is not None:
            own.check(settings.webhook)
    except WebhookRefused as error:
        raise Unsupported(f"HEADWATER_WEBHOOK: {error}") from error
    except ValueError as error:
        raise Unsupported(f"HEADWATER_WEBHOOK_SECRET: {error}; make one with: openssl rand -base64 32") from error
    return Webhooks(asked, own, settings.webhook, settings.webhook_for, text=settings.webhook_text)
