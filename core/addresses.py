"""Which network addresses outgoing requests may go to: a pure decision about numbers, taken after names are resolved.

Names are of no use here: whoever owns a name decides what it means at each look-up. Decimal, octal and abbreviated
addresses have become plain ones when they come here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Where clouds tell a machine its credentials.
_METADATA = {
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # most of them
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure; a public address
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # Amazon
        "fd00:ec2::23",  # Amazon, for pods
        "fd20:ce::254",  # Google
        "fd00:c1::a9fe:a9fe",  # Oracle
        "fd00:42::42",  # Scaleway
    )
}
# IPv6 addresses that carry an IPv4 address in their last 32 bits: what they reach is that one.
_CARRIERS = tuple(
    ipaddress.IPv6Network(text) for text in ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
_COMPATIBLE = ipaddress.IPv6Network("::/96")
# One's own translator, which may look for the IPv4 address elsewhere (RFC 8215, RFC 6052 2.2): never the internet.
_OWN_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")


@dataclass(frozen=True)
class Reach:
    """Where requests of one kind may go besides the public internet."""

    private: bool = False
    """Private networks; this machine's own address, loopback, is one of them."""
    allowed: Sequence[Network] = ()
    """Private networks that somebody who may has named."""
    allowed_by: str = ""
    """The setting in which he does that."""


def objection(text: str, reach: Reach) -> str:
    """What is wrong with an address, in words that follow "is"; empty when nothing is."""
    written = parsed(text)
    address = plain(written)
    if reason := _never(address):
        return reason
    is_public = address.is_global and not getattr(address, "is_site_local", False) and written not in _OWN_NAT64
    if is_public or reach.private or any(address in network for network in reach.allowed):
        return ""
    place = "loopback" if address.is_loopback else "in a private network"
    return f"{place}; who runs the platform may allow it by {reach.allowed_by}" if reach.allowed_by else place


def parsed(text: str) -> Address:
    """An address as a look-up gives it, which may name a network card after `%`."""
    return ipaddress.ip_address(text.partition("%")[0])


def plain(address: Address) -> Address:
    """The address that is reached by it: IPv4 comes in several wrappings."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.sixtofour:
        return address.sixtofour
    if address.teredo:
        return address.teredo[1]
    is_compatible = address in _COMPATIBLE and int(address) > 0xFFFF
    if is_compatible or any(address in network for network in _CARRIERS):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _never(address: Address) -> str:
    if address in _METADATA:
        return "a cloud's metadata service"
    if address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    if address.is_unspecified or (address.version == 4 and int(address) >> 24 == 0):
        return "no address of anything"
    if address.is_reserved and not address.is_loopback:
        return "reserved"
    return ""
