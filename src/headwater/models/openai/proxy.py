"""The HTTP proxy for a provider's address: the one that is set, or the environment's."""

from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from headwater.errors import Unsupported


def proxy_for(address: str, proxy: str | None = None) -> str | None:
    """The proxy for an address, or None. Raises `Unsupported`, naming where it is set, for one that does not work.

    Looked up once: aiohttp's own `trust_env` uses two threads for every request, and takes a password from `.netrc` if
    there is one, which then collides with the key.
    """
    parsed = urlsplit(address)
    found, where = (proxy or "").strip(), "OPENAI_PROXY"
    if not found:
        proxies = getproxies()
        if _is_exempt(parsed.hostname or "", proxies.get("no", "")):
            return None
        kind = parsed.scheme if proxies.get(parsed.scheme) else "all"
        found, where = proxies.get(kind, "").strip(), f"{kind.upper()}_PROXY"
    if not found:
        return None
    found = found if "://" in found else f"http://{found}"
    scheme = urlsplit(found).scheme.lower()
    if scheme not in ("http", "https"):
        raise Unsupported(f"{where} is a proxy of the kind {scheme}:, and only http: and https: proxies are supported")
    return found


def _is_exempt(host: str, exempt: str) -> bool:
    """Whether `NO_PROXY` names a host; unlike in urllib, also by a network such as 10.0.0.0/8."""
    if proxy_bypass(host):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    for name in exempt.split(","):
        try:
            if "/" in name and address in ip_network(name.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False
