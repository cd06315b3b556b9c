"""The `solana:` link that wallets open, and its QR code. Pure.

    solana:<percent-encoded https URL of the transaction request>

A wallet refuses anything but https, so a link is only made of an https address; the machine itself
(localhost) is let pass, for development.
"""

import io
import ipaddress
from typing import Final
from urllib.parse import quote, urlsplit

import segno

from coordinator.api.payments.asked import Asked, path_of, query_of
from coordinator.api.payments.refusals import LinkNotSecure

SCHEME: Final = "solana:"
BASE_PATH: Final = "/v1/pay"
# What JavaScript's encodeURIComponent leaves alone, by which wallets encode and decode.
_UNRESERVED: Final = "-_.!~*'()"
_QUIET_MODULES: Final = 4


def request_url(public_url: str, asked: Asked, view: str = "") -> str:
    """Where this is asked over HTTP; `view` names another view of it (`/link`, `/qr.svg`)."""
    return f"{public_url}{BASE_PATH}/{path_of(asked)}{view}?{query_of(asked)}"


def payment_link(public_url: str, asked: Asked) -> str:
    """What goes into a QR code or an `href`. Raises `LinkNotSecure`."""
    if not is_secure(public_url):
        raise LinkNotSecure(public_url=public_url)
    return SCHEME + quote(request_url(public_url, asked), safe=_UNRESERVED)


def is_secure(url: str) -> bool:
    """Whether wallets may be sent there: https, or this very machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return True
    if parts.scheme != "http":
        return False
    return host == "localhost" or host.endswith(".localhost") or _is_loopback(host)


def svg(link: str) -> bytes:
    """The link as a QR code, an SVG image that scales."""
    image = io.BytesIO()
    _code(link).save(
        image,
        kind="svg",
        border=_QUIET_MODULES,
        light="#fff",
        omitsize=True,
        xmldecl=False,
        svgclass=None,
        lineclass=None,
    )
    return image.getvalue()


def for_terminal(link: str) -> str:
    """The link as a QR code of half blocks, light on dark, lines ended by newlines."""
    drawn = io.StringIO()
    _code(link).terminal(drawn, border=_QUIET_MODULES, compact=True)
    return drawn.getvalue()


def _code(link: str) -> segno.QRCode:
    return segno.make_qr(link, error="m")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
