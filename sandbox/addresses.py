"""Which network addresses a sandboxed job may be connected to: public ones, also where one form carries another."""

from __future__ import annotations

import ipaddress
import socket

IPv4 = ipaddress.IPv4Address
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Tables of our own: what the library calls global has changed between the releases of Python.
# From the IANA special-purpose address registries (IPv4 and IPv6), as of 2026.
_NOT_PUBLIC_4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            "168.63.129.16/32",  # public by its number; inside a cloud's machine it is the cloud's own control address
        ),
    )
)
_PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20", "2620:4f:8000::/48")))
# Forms of IPv6 that stand for an IPv4 address: the network, and how far its bits are from the right end.
_CARRIERS = tuple(
    (ipaddress.IPv6Network(network), shift)
    for network, shift in (
        ("::ffff:0:0/96", 0),  # mapped
        ("::ffff:0:0:0/96", 0),  # translated
        ("::/96", 0),  # compatible, long deprecated
        ("64:ff9b::/96", 0),  # NAT64
        ("2002::/16", 80),  # 6to4
    )
)


def carried(address: Address) -> IPv4 | None:
    """Return the IPv4 address that an IPv6 address stands for."""
    if isinstance(address, IPv4):
        return None
    for network, shift in _CARRIERS:
        if address in network:
            return IPv4(int(address) >> shift & 0xFFFF_FFFF)
    return None


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public internet and of nothing nearer."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = carried(address)
        if inner is not None:
            return is_public(inner)
        return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)
    return not any(address in network for network in _NOT_PUBLIC_4)


def network_of(address: Address) -> str:
    """Return the class of an address: `public`, `private`, `loopback`, `link-local`, `this machine`, or `special`.

    `this machine` is a public or private address of ours; `special` is what belongs to no ordinary host.
    """
    plain = carried(address) or address
    if address.is_loopback or plain.is_loopback or plain.is_unspecified:
        return "loopback"
    if plain.is_link_local:
        return "link-local"
    if not is_one_host(plain):
        return "special"
    if is_ours(plain):
        return "this machine"
    if is_public(address):
        return "public"
    return "private" if any(plain in network for network in _PRIVATE) else "special"


def is_one_host(address: Address) -> bool:
    """Tell whether an address can be that of a single host at all: no group, no broadcast, not 'any'."""
    plain = carried(address) or address
    return not (plain.is_multicast or plain.is_unspecified or str(plain) == "255.255.255.255")


def is_ours(address: Address) -> bool:
    """Tell whether this machine has the address: what listens here for its own users is not the public's.

    Asks the kernel for the way there, which sends nothing.
    """
    family = socket.AF_INET if isinstance(address, IPv4) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((str(address), 9))
            return ipaddress.ip_address(asking.getsockname()[0].partition("%")[0]) == address
    except OSError:
        return False  # no way there
