"""Which addresses may be reached: public ones, and those of their own that the owner names.

The check is of the address that is connected to, at the moment of connecting: a name is resolved once, every address
that it stands for is checked, and the connection goes to one of those. So neither a second answer of the name server,
nor a redirect, nor an odd way to write a number leads inside.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plugins.api import ToolFailure

if TYPE_CHECKING:
    import httpx

IPv4 = ipaddress.IPv4Address
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

GLOBAL_V6 = ipaddress.ip_network("2000::/3")
NAT64 = ipaddress.ip_network("64:ff9b::/96")
TEREDO = ipaddress.ip_network("2001::/32")
# Public by their numbers, inside by their use: protocol assignments (a cloud's metadata), the host of Azure guests.
INSIDE = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("168.63.129.16/32"))
ODD_NUMBER = re.compile(r"^(?:\d+|0x[0-9a-f]*)$", re.IGNORECASE)
PORTS = {80, 443}
FIRST_FREE_PORT = 1_024
MAX_URL = 8_000


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the owner allows beyond the public web: host names (with `:port` for one port), and networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """Read a list such as `nas.lan, 10.0.0.0/8, printer.lan:631`. Raises ToolFailure for what is neither."""
        hosts, networks = set(), []
        for item in filter(None, (part.strip().lower() for part in re.split(r"[,\s]+", text))):
            try:
                networks.append(ipaddress.ip_network(item, strict=False))
            except ValueError:
                if not re.fullmatch(r"[\w.-]+(:\d{1,5})?|\[[0-9a-f:.]+\]:\d{1,5}", item):
                    raise ToolFailure(
                        f"[plugins.web] allow_private holds {item!r}, which is no host and no network.",
                        hint="Write it like: nas.lan, 10.0.0.0/8, printer.lan:631",
                    ) from None
                hosts.add(item)
        return cls(frozenset(hosts), tuple(networks))

    def and_host(self, host: str, port: int) -> Allowed:
        """Return the same with one host and port more."""
        return Allowed(self.hosts | {_with_port(host, port)}, self.networks)

    def host(self, host: str, port: int) -> bool:
        """Say whether the owner allows this host by its name."""
        return bool({host.lower().rstrip("."), _with_port(host, port)} & self.hosts)

    def address(self, address: Address) -> bool:
        """Say whether the address is public, or the owner allows its network."""
        return is_public(address) or any(address in network for network in self.networks)


def _with_port(host: str, port: int) -> str:
    plain = host.lower().rstrip(".")
    return f"[{plain}]:{port}" if ":" in plain else f"{plain}:{port}"


def is_public(address: Address) -> bool:
    """Say whether an address is one of the public internet, also where it carries another one inside."""
    inner = _embedded(address)
    if inner is not None:
        return is_public(inner)
    if isinstance(address, ipaddress.IPv6Address) and (address not in GLOBAL_V6 or address in TEREDO):
        return False
    if address.is_multicast or address.is_reserved or address.is_unspecified or not address.is_global:
        return False
    return not any(address in network for network in INSIDE)


def _embedded(address: Address) -> IPv4 | None:
    """Return the IPv4 address that an IPv6 address stands for: mapped, 6to4, NAT64."""
    if isinstance(address, IPv4):
        return None
    if address in NAT64:
        return IPv4(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def check_url(url: str | httpx.URL, allowed: Allowed) -> httpx.URL:
    """Return the address to ask for; raises ToolFailure for what is none, or is not to be asked."""
    import httpx

    text = str(url).strip()
    if len(text) > MAX_URL:
        raise ToolFailure(f"The address has {len(text):,} characters; at most {MAX_URL:,} are sent.")
    if "://" not in text and not text.lower().startswith(("mailto:", "data:", "javascript:", "file:")):
        text = f"https://{text}"
    try:
        parsed = httpx.URL(text)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
    except (httpx.InvalidURL, ValueError, TypeError) as problem:
        raise ToolFailure(f"{text[:200]!r} is not a web address: {problem}") from problem
    if parsed.scheme not in {"http", "https"}:
        raise ToolFailure(f"{text[:200]!r} is not a web address.", hint="It must begin with http:// or https://.")
    if parsed.userinfo:
        raise ToolFailure(
            "The address holds a name or password, which would be sent.", hint="Leave out what is before @."
        )
    _check_host(parsed.host, port, allowed)
    return parsed.copy_with(fragment=None)


def _check_host(host: str, port: int, allowed: Allowed) -> None:
    if not host:
        raise ToolFailure("The address names no host.", hint="Write it like https://example.org/page.")
    if ODD_NUMBER.match(host.rstrip(".").rpartition(".")[2]) and not _is_address(host):
        raise ToolFailure(
            f"{host!r} is an address in an unusual form.", hint="Write it as four numbers, or use a name."
        )
    if not 0 < port < 65_536:
        raise ToolFailure(f"There is no port {port}.")
    if port not in PORTS and port < FIRST_FREE_PORT and not allowed.host(host, port):
        raise ToolFailure(f"Port {port} of {host} is no port of web servers.", hint="Use 80, 443 or one above 1023.")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def checked(host: str, port: int, found: list[str], allowed: Allowed) -> list[str]:
    """Return the addresses of a host when all may be reached; raises ToolFailure naming the host and the remedy.

    A public name that also stands for an inner address is refused as a whole: nothing honest looks like that.
    """
    addresses = [ipaddress.ip_address(address) for address in found]
    if not allowed.host(host, port):
        for address in addresses:
            if not allowed.address(address):
                named = "" if host == str(address) else f"is {address}, which "
                raise ToolFailure(
                    f"{host} {named}is not on the public internet.",
                    hint=f'If it is yours and may be read, set allow_private = "{host}" under [plugins.web].',
                )
    return [str(address) for address in addresses]
