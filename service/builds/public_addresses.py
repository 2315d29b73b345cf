"""The addresses of the public internet, from tables of our own that are the same under every version of Python.

In: an address. Out: whether a web server of the public may be there. Not here: URLs and the operator's list (`ssrf`).

`ipaddress.is_global` has other answers in other releases (192.0.0.192 and 3fff::/20 changed between 3.11 and 3.13). So
the registries' rows are written here. Every row is refused, even if its registry calls it globally reachable. Anycast
services and translators answer there, near the caller, and no receiver of callbacks does.
"""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# IANA IPv4 Special-Purpose Address Registry, rows of October 2025
# (https://www.iana.org/assignments/iana-ipv4-special-registry).
SPECIAL_4 = (
    "0.0.0.0/8",  # this network
    "0.0.0.0/32",  # this host on this network
    "10.0.0.0/8",  # private use
    "100.64.0.0/10",  # shared address space
    "127.0.0.0/8",  # loopback
    "169.254.0.0/16",  # link local
    "172.16.0.0/12",  # private use
    "192.0.0.0/24",  # IETF protocol assignments
    "192.0.0.0/29",  # IPv4 service continuity prefix
    "192.0.0.8/32",  # IPv4 dummy address
    "192.0.0.9/32",  # Port Control Protocol anycast
    "192.0.0.10/32",  # TURN anycast
    "192.0.0.170/32",  # NAT64/DNS64 discovery
    "192.0.0.171/32",  # NAT64/DNS64 discovery
    "192.0.2.0/24",  # documentation
    "192.31.196.0/24",  # AS112-v4
    "192.52.193.0/24",  # AMT
    "192.88.99.0/24",  # deprecated (6to4 relay anycast)
    "192.88.99.2/32",  # 6a44 relay anycast
    "192.168.0.0/16",  # private use
    "192.175.48.0/24",  # direct delegation AS112 service
    "198.18.0.0/15",  # benchmarking
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "240.0.0.0/4",  # reserved
    "255.255.255.255/32",  # limited broadcast
)
# IANA IPv6 Special-Purpose Address Registry, rows of October 2025
# (https://www.iana.org/assignments/iana-ipv6-special-registry).
SPECIAL_6 = (
    "::1/128",  # loopback
    "::/128",  # unspecified
    "::ffff:0:0/96",  # IPv4-mapped: judged by the IPv4 address
    "64:ff9b::/96",  # IPv4-IPv6 translation
    "64:ff9b:1::/48",  # IPv4-IPv6 translation, local use
    "100::/64",  # discard only
    "100:0:0:1::/64",  # dummy prefix
    "2001::/23",  # IETF protocol assignments
    "2001::/32",  # Teredo
    "2001:1::1/128",  # Port Control Protocol anycast
    "2001:1::2/128",  # TURN anycast
    "2001:1::3/128",  # DNS-SD service registration anycast
    "2001:2::/48",  # benchmarking
    "2001:3::/32",  # AMT
    "2001:4:112::/48",  # AS112-v6
    "2001:10::/28",  # deprecated (ORCHID)
    "2001:20::/28",  # ORCHIDv2
    "2001:30::/28",  # drone remote identification
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4
    "2620:4f:8000::/48",  # direct delegation AS112 service
    "3fff::/20",  # documentation
    "5f00::/16",  # segment routing
    "fc00::/7",  # unique local
    "fe80::/10",  # link local
)
# Multicast (RFC 5771, RFC 4291), site local (RFC 3879), IPv4-compatible and -translated addresses (RFC 4291, RFC 2765).
OTHERS = ("224.0.0.0/4", "ff00::/8", "fec0::/10", "::/96", "::ffff:0:0:0/96")
# Cloud services for their own machines: metadata with credentials, and the host itself. Most lie in a row above.
CLOUDS = (
    "169.254.169.254/32",  # AWS, Azure, Google, OCI and others
    "169.254.170.2/32",  # AWS, containers
    "169.254.170.23/32",  # AWS, pods
    "fd00:ec2::254/128",  # AWS
    "fd00:ec2::23/128",  # AWS, pods
    "fd20:ce::254/128",  # Google
    "168.63.129.16/32",  # Azure's host, a public address that is routed nowhere else
    "192.0.0.192/32",  # OCI, older machines
    "100.100.100.200/32",  # Alibaba
    "fd00:42::42/128",  # Scaleway
)
UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that was ever given out for the public (RFC 4291, IANA)
REFUSED = tuple(map(ipaddress.ip_network, (*SPECIAL_4, *SPECIAL_6, *OTHERS, *CLOUDS)))
MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def public(address: Address) -> bool:
    """Whether the whole internet can reach it. Private networks, cloud services and routers are not public."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        if address in MAPPED:
            return public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in UNICAST:
            return False
    return not any(address.version == network.version and address in network for network in REFUSED)
