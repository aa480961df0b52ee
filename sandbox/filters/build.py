"""Makes the filter programs from the table: `python -m sandbox.filters.build` writes them next to this file.

Classic BPF sees registers, not memory, and compares 32 bits at a time. Of the arguments looked at here the kernel
itself uses only the low half, so it is the low half that is compared: what stands in the high half changes nothing.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sandbox.filters import table

# own: the box has a network of its own · tcp: only TCP, towards what Landlock allows · none: connected pairs only ·
# still: as none, and modes, owners and times of files stay as they are: nothing else keeps those of the host
Network = Literal["own", "tcp", "none", "still"]
NETWORKS: tuple[Network, ...] = ("own", "tcp", "none", "still")

_LOAD, _JEQ, _JGE, _JSET, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: operation, jumps if true and if false, constant."""

    code: int
    k: int
    yes: int = 0
    no: int = 0

    def packed(self) -> bytes:
        """Return struct sock_filter, little-endian as both architectures are."""
        return struct.pack("<HBBI", self.code, self.yes, self.no, self.k)


def _fail(code: int) -> Instruction:
    return Instruction(_RETURN, _ERRNO | code)


def _argument(index: int) -> Instruction:
    return Instruction(_LOAD, _ARGUMENTS + 8 * index)


def _when(value: int, body: list[Instruction]) -> list[Instruction]:
    return [Instruction(_JEQ, value, 0, len(body)), *body]


_OK = Instruction(_RETURN, _ALLOW)


def _unless(values: tuple[int, ...], body: list[Instruction]) -> list[Instruction]:
    """Run `body` when the accumulator is none of `values`."""
    tests = len(values)
    jumps = [Instruction(_JEQ, value, tests - 1 - at + len(body), 0) for at, value in enumerate(values)]
    return [*jumps, *body]


def _sockets(column: int, network: Network) -> list[Instruction]:
    denied = _fail(errno.EACCES)
    only_pairs = _when(table.SOCKETPAIR[column], [_argument(0), *_when(table.AF_UNIX, [_OK]), denied])
    if network == "own":
        return _when(table.SOCKET[column], [_argument(0), *_unless(table.OWN_FAMILIES, [denied]), _OK])
    if network in {"none", "still"}:
        return [*_when(table.SOCKET[column], [denied]), *only_pairs]
    tcp = [
        *(_argument(0), *_unless((table.AF_INET, table.AF_INET6), [denied])),
        *(_argument(1), Instruction(_AND, table.SOCK_TYPE_MASK), *_unless((table.SOCK_STREAM,), [denied])),
        *(_argument(2), *_unless(table.TCP_PROTOCOLS, [denied]), _OK),
    ]
    return [*_when(table.SOCKET[column], tcp), *only_pairs]


def _modes(column: int) -> list[Instruction]:
    """Refuse the set-uid and set-gid bits wherever a file gets its mode."""
    rules: list[Instruction] = []
    for numbers, mode, flags in table.MODES:
        number = numbers[column]
        if number is not None:
            body = [_argument(mode), Instruction(_JSET, table.SET_ID, 0, 1), _fail(errno.EPERM), _OK]
            if flags is not None:
                body = [_argument(flags), Instruction(_JSET, table.MAKES_FILE, 1, 0), _OK, *body]
            rules += _when(number, body)
    return rules


def _still(column: int) -> list[Instruction]:
    """Refuse to change owners; say yes to a change of mode or time and do nothing, since every copy asks for one."""
    rules: list[Instruction] = []
    for calls, code in ((table.OWNERS, errno.EPERM), (table.MODES_AND_TIMES, 0)):
        for numbers in calls.values():
            number = numbers[column]
            if number is not None:
                rules += _when(number, [_fail(code)])
    return rules


def _others(column: int) -> list[Instruction]:
    """Refuse to change how other processes run."""
    forbidden = _fail(errno.EPERM)
    rules: list[Instruction] = []
    for numbers in table.RUNNING.values():
        number = numbers[column]
        if number is not None:
            rules += _when(number, [_argument(0), *_unless((0,), [forbidden]), _OK])
    for ranks, process in table.RANKS:
        checked = [_argument(0), *_unless((process,), [forbidden]), _argument(1), *_unless((0,), [forbidden]), _OK]
        rules += _when(ranks[column], checked)
    return rules


def _on_arguments(column: int, network: Network) -> list[Instruction]:
    """Return the rules that look at an argument. Each body ends by itself: the accumulator is no longer the number."""
    forbidden = _fail(errno.EPERM)
    tricks = [part for number in table.TERMINAL_TRICKS for part in _when(number, [forbidden])]
    namespaces = [_argument(0), Instruction(_JSET, table.NAMESPACES, 0, 1), forbidden, _OK]
    return [
        *_sockets(column, network),
        *_modes(column),
        *_when(table.IOCTL[column], [_argument(1), *tricks, _OK]),
        *_when(table.CLONE[column], namespaces),
        *_when(table.PRLIMIT[column], [_argument(0), *_when(0, [_OK]), forbidden]),
    ]


def assemble(machine: str, network: Network) -> bytes:
    """Return the program for a machine; raise KeyError for one that the table does not know."""
    column, audit = table.ARCHITECTURES[machine]
    absent = _fail(errno.ENOSYS)
    # A 32-bit call on a 64-bit kernel has other numbers; none of ours makes one.
    program = [Instruction(_LOAD, _ARCHITECTURE), Instruction(_JEQ, audit, 1, 0), absent, Instruction(_LOAD, _NUMBER)]
    if machine == "x86_64":
        program += [Instruction(_JGE, table.X32, 0, 1), absent]
    for calls, code in ((table.DENIED, errno.EPERM), (table.ABSENT, errno.ENOSYS)):
        for numbers in calls.values():
            number = numbers[column]
            if number is not None:
                program += _when(number, [_fail(code)])
    if network != "own":
        program += _when(table.WATCHING[column], [_fail(errno.EPERM)])
    program += _others(column)
    if network == "still":
        program += _still(column)
    program += [*_on_arguments(column, network), _OK]
    return b"".join(part.packed() for part in program)


def name(machine: str, network: Network) -> str:
    """Return the name of a program's file."""
    return f"{machine}-{network}.bpf"


def main() -> None:
    """Write every program."""
    for machine in table.ARCHITECTURES:
        for network in NETWORKS:
            Path(__file__).with_name(name(machine, network)).write_bytes(assemble(machine, network))


if __name__ == "__main__":
    main()
