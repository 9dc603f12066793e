"""Which addresses outgoing requests may go to."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from core.addresses import Reach, objection

INTRANET, PUBLIC = Reach(private=True), Reach()
LISTED = Reach(allowed=[ip_network("10.1.0.0/16"), ip_network("fd12::/48"), ip_network("169.254.0.0/16")])


@pytest.mark.parametrize(
    ("address", "intranet", "public", "listed"),
    [
        ("8.8.8.8", "", "", ""),
        ("2606:4700::1111", "", "", ""),
        ("10.1.2.3", "", "in a private network", ""),
        ("10.2.2.3", "", "in a private network", "in a private network"),
        ("192.168.1.1", "", "in a private network", "in a private network"),
        ("172.31.255.255", "", "in a private network", "in a private network"),
        ("100.64.0.1", "", "in a private network", "in a private network"),
        ("fd12::1", "", "in a private network", ""),
        ("fec0::1", "", "in a private network", "in a private network"),
        ("127.0.0.1", "", "loopback", "loopback"),
        ("127.8.8.8", "", "loopback", "loopback"),
        ("::1", "", "loopback", "loopback"),
        # IPv4 in its wrappings: mapped, translated, compatible, 6to4, Teredo, NAT64.
        ("::ffff:127.0.0.1", "", "loopback", "loopback"),
        ("::ffff:0:127.0.0.1", "", "loopback", "loopback"),
        ("::ffff:10.1.2.3", "", "in a private network", ""),
        ("::127.0.0.1", "", "loopback", "loopback"),
        ("2002:7f00:1::1", "", "loopback", "loopback"),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", "", "loopback", "loopback"),
        ("64:ff9b::a00:1", "", "in a private network", "in a private network"),
        ("64:ff9b::808:808", "", "", ""),
        # A translator of one's own: 127.0.0.1 in the middle, as for a prefix of 48 bits, and 8.8.8.8 at the end.
        ("64:ff9b:1:7f00:0:100:808:808", "", "in a private network", "in a private network"),
        ("64:ff9b:1::a01:203", "", "in a private network", ""),
        # Never, whatever is allowed.
        ("169.254.169.254", "a cloud's metadata service", "a cloud's metadata service", "a cloud's metadata service"),
        ("169.254.1.1", "link-local", "link-local", "link-local"),
        ("::ffff:169.254.1.1", "link-local", "link-local", "link-local"),
        ("fe80::1%eth0", "link-local", "link-local", "link-local"),
        *[
            (address, *["a cloud's metadata service"] * 3)
            for address in (
                "100.100.100.200",
                "168.63.129.16",
                "192.0.0.192",
                "fd00:ec2::254",
                "fd00:ec2::23",
                "fd20:ce::254",
                "fd00:c1::a9fe:a9fe",
                "fd00:42::42",
            )
        ],
        ("64:ff9b::a9fe:a9fe", *["a cloud's metadata service"] * 3),
        ("224.0.0.1", "multicast", "multicast", "multicast"),
        ("ff02::1", "multicast", "multicast", "multicast"),
        ("0.0.0.0", *["no address of anything"] * 3),
        ("0.1.2.3", *["no address of anything"] * 3),
        ("::", *["no address of anything"] * 3),
        ("255.255.255.255", "reserved", "reserved", "reserved"),
        ("240.0.0.1", "reserved", "reserved", "reserved"),
    ],
)
def test_where_requests_may_go(address: str, intranet: str, public: str, listed: str) -> None:
    assert [objection(address, reach) for reach in (INTRANET, PUBLIC, LISTED)] == [intranet, public, listed]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("10.2.2.3", "in a private network; who runs the platform may allow it by WHARF_NETWORKS"),
        ("127.0.0.1", "loopback; who runs the platform may allow it by WHARF_NETWORKS"),
        # Nobody can allow these.
        ("169.254.169.254", "a cloud's metadata service"),
        ("169.254.1.1", "link-local"),
        ("10.1.2.3", ""),
    ],
)
def test_who_could_allow_an_address_is_said_where_somebody_could(address: str, words: str) -> None:
    assert objection(address, replace(LISTED, allowed_by="WHARF_NETWORKS")) == words
