"""Hosts with ports: read strictly from what a job asks for, and compared with what it may reach."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

WEB_PORTS = frozenset({80, 443})
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[0-9]{1,5}")


class BadPlace(ValueError):
    """This names no host and port; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """A host (a name in lower case or a plain address) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, port: int | None = None) -> Place:
        """Read `host:port`, or `host` where `port` is given. Raises BadPlace."""
        host, given = _split(text)
        if given:
            if not _PORT.fullmatch(given) or not 0 < int(given) < 65_536:
                raise BadPlace(f"{given!r} is no port")
            port = int(given)
        if port is None:
            raise BadPlace(f"{text!r} names no port")
        return cls(_host(host), port)


def _split(text: str) -> tuple[str, str]:
    if not text.isascii() or len(text) > 300:
        raise BadPlace("this is no host name")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise BadPlace(f"{text!r} is no address")
        return f"[{host}", rest[1:]
    host, _, port = text.partition(":")
    return host, port


def _host(text: str) -> str:
    """Return the host in its one form. Addresses in unusual forms, which some resolvers read, are refused."""
    if text.startswith("["):
        try:
            address = ipaddress.IPv6Address(text[1:])
        except ValueError:
            raise BadPlace(f"{text[1:]!r} is no IPv6 address") from None
        if address.scope_id:
            raise BadPlace(f"{text[1:]!r} names a network interface")
        return str(address)
    name = text.lower().removesuffix(".")
    try:
        return str(ipaddress.IPv4Address(name))
    except ValueError:
        pass
    if not _NAME.fullmatch(name) or len(name) > 253:
        raise BadPlace(f"{text!r} is no host name")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise BadPlace(f"{text!r} is an address in an unusual form; write it as four numbers")
    return name


@dataclass(frozen=True, slots=True)
class _Rule:
    """`host`: a name, `*.name`, or `*`. `port`: None stands for those of the web, 0 for every port."""

    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> _Rule:
        text = text.strip()
        star = text.startswith("*")
        plain = text[1:].removeprefix(".") if star else text
        if star and (not plain or plain.startswith(":")):
            return cls("*", _rule_port(plain.removeprefix(":")))
        every = plain.endswith(":*")
        host, port = _split(plain[:-2] if every else plain)
        name = _host(host)
        return cls(f"*.{name}" if star else name, 0 if every else _rule_port(port))

    def allows(self, place: Place) -> bool:
        if self.port is None and place.port not in WEB_PORTS:
            return False
        if self.port and self.port != place.port:
            return False
        if self.host == "*":
            return True
        return place.host.endswith(self.host[1:]) if self.host.startswith("*.") else place.host == self.host


def _rule_port(text: str) -> int | None:
    if not text or text == "*":
        return 0 if text else None
    return Place.parse(f"x:{text}").port


@dataclass(frozen=True, slots=True)
class Places:
    """What may be reached: `host` (ports 80 and 443), `host:port`, `host:*`, `*.host`, `*`."""

    rules: tuple[_Rule, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Places:
        """Read a list of rules; raise BadPlace for one that is none."""
        return cls(tuple(map(_Rule.parse, texts)))

    def allow(self, place: Place) -> bool:
        """Tell whether a place is among them."""
        return any(rule.allows(place) for rule in self.rules)

    def __bool__(self) -> bool:
        return bool(self.rules)
