"""Which media type and which content coding a request asks for (RFC 9110 §12.5). Pure."""

import re

from starlette.requests import Request

_WEIGHT = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.ASCII)


def preferred(accept: str, *offers: str) -> str:
    """The media type to answer in: of equal weight, a named type wins over one that `*/*` covers, then the first.

    Where no offer is acceptable the first is the answer all the same: a stream is more use than a 406.
    """
    if not accept or accept == "*/*" or accept == offers[0]:
        return offers[0]
    ranges = _ranges(accept)
    return max(offers, key=lambda offer: _rank(ranges, offer))


def wants(request: Request, *offers: str) -> str:
    """Which of these media types the client prefers."""
    return preferred(field(request, "accept"), *offers)


def accepts(request: Request, media: str) -> bool:
    """Whether the client takes this media type, however little it prefers it."""
    accept = field(request, "accept")
    return accept in ("", "*/*") or _rank(_ranges(accept), media)[0] > 0


def codings(request: Request, *offers: str) -> list[str]:
    """The content codings among these that the client prefers to none, the best first (RFC 9110 §12.5.3)."""
    ranges = _ranges(field(request, "accept-encoding"))
    weights = {offer: ranges.get(offer, ranges.get("*", 0.0)) for offer in offers}
    taken = [offer for offer in offers if weights[offer] > 0 and weights[offer] >= ranges.get("identity", 0.0)]
    return sorted(taken, key=lambda offer: -weights[offer])


def field(request: Request, name: str) -> str:
    """A header that is a list, which may come in several lines (RFC 9110 §5.3)."""
    return ", ".join(request.headers.getlist(name))


def _ranges(accept: str) -> dict[str, float]:
    ranges: dict[str, float] = {}
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        weights = [float(match[1]) for each in parameters if (match := _WEIGHT.fullmatch(each))]
        ranges[media] = weights[0] if weights else 1.0
    return ranges


def _rank(ranges: dict[str, float], offer: str) -> tuple[float, bool]:
    for media in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        if media in ranges:
            return ranges[media], media == offer
    return 0.0, False
