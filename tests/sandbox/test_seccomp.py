"""The filters on system calls: what is in the repository is what the table says, and it means what it should."""

from __future__ import annotations

import errno
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest

from sandbox import filters, seccomp
from sandbox.filters import build, table

ALLOW, ENOSYS = 0, -errno.ENOSYS
BOTH = pytest.mark.parametrize("machine", list(table.ARCHITECTURES))


def call(machine: str, network: build.Network, number: int, *arguments: int, audit: int | None = None) -> int:
    """Run a program as the kernel would; return 0 when the call may go on, else the negative error number."""
    code = (Path(filters.__file__).parent / build.name(machine, network)).read_bytes()
    program = [struct.unpack_from("<HBBI", code, at) for at in range(0, len(code), 8)]
    filled = (*arguments, *(0 for _ in range(6 - len(arguments))))
    data = struct.pack("<iIQ6Q", number, audit or table.ARCHITECTURES[machine][1], 0, *filled)
    accumulator = at = 0
    while True:
        operation, yes, no, constant = program[at]
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, constant)
            case 0x54:
                accumulator &= constant
            case 0x15:
                at += yes if accumulator == constant else no
            case 0x35:
                at += yes if accumulator >= constant else no
            case 0x45:
                at += yes if accumulator & constant else no
            case 0x06:
                return -(constant & 0xFFFF) if constant & 0x7FFF0000 == 0x00050000 else ALLOW
            case _:
                raise AssertionError(f"no such operation: {operation:#x}")


@BOTH
@pytest.mark.parametrize("network", build.NETWORKS)
def test_the_programs_are_those_that_the_table_gives(machine: str, network: build.Network):
    stored = (Path(filters.__file__).parent / build.name(machine, network)).read_bytes()
    assert stored == build.assemble(machine, network), "after a change of the table: python -m sandbox.filters.build"


@BOTH
@pytest.mark.parametrize("network", build.NETWORKS)
def test_every_jump_stays_inside_the_program(machine: str, network: build.Network):
    code = build.assemble(machine, network)
    program = [struct.unpack_from("<HBBI", code, at) for at in range(0, len(code), 8)]
    assert len(program) < 4096
    for at, (operation, yes, no, _) in enumerate(program):
        if operation in {0x15, 0x35, 0x45}:
            assert at + 1 + max(yes, no) < len(program)
    assert program[-1] == (0x06, 0, 0, 0x7FFF0000)


@BOTH
@pytest.mark.parametrize("network", build.NETWORKS)
def test_every_forbidden_call_is_refused_and_the_ordinary_ones_go_on(machine: str, network: build.Network):
    column = table.ARCHITECTURES[machine][0]
    for calls, code in ((table.DENIED, errno.EPERM), (table.ABSENT, errno.ENOSYS)):
        for name, numbers in calls.items():
            if numbers[column] is not None:
                assert call(machine, network, numbers[column]) == -code, name
    for number in ((0, 1, 3, 9, 257), (63, 64, 57, 222, 56))[column]:  # read, write, close, mmap, openat
        assert call(machine, network, number) == ALLOW


@BOTH
def test_what_stands_in_the_high_half_of_an_argument_changes_nothing(machine: str):
    """The kernel takes 32 bits of these arguments; a filter that compared 64 would let the rest through."""
    column = table.ARCHITECTURES[machine][0]
    for high in (0, 1 << 32, 0xFFFFFFFF << 32):
        assert call(machine, "own", table.SOCKET[column], high | 40, 1) == -errno.EACCES  # vsock
        assert call(machine, "own", table.SOCKET[column], high | 2, 1) == ALLOW
        assert call(machine, "own", table.IOCTL[column], 0, high | 0x5412) == -errno.EPERM
        assert call(machine, "own", table.CLONE[column], high | 0x10000000) == -errno.EPERM
        assert call(machine, "own", table.PRLIMIT[column], high | 7) == -errno.EPERM
        assert call(machine, "own", table.PRLIMIT[column], high) == ALLOW


@BOTH
def test_a_call_of_another_architecture_is_none(machine: str):
    assert call(machine, "own", 1, audit=0x40000003) == ENOSYS  # 32-bit x86
    assert call(machine, "own", 1, audit=0x40000028) == ENOSYS  # 32-bit ARM
    if machine == "x86_64":
        assert call(machine, "own", 1 | table.X32) == ENOSYS
        assert call(machine, "own", 165 | table.X32) == ENOSYS


@BOTH
def test_threads_may_be_made_and_namespaces_not(machine: str):
    column = table.ARCHITECTURES[machine][0]
    assert call(machine, "own", table.CLONE[column], 0x3D0F00) == ALLOW
    assert call(machine, "own", table.CLONE[column], 17) == ALLOW
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert call(machine, "own", table.CLONE[column], flag | 17) == -errno.EPERM


@BOTH
def test_no_file_gets_the_set_uid_bit(machine: str):
    column = table.ARCHITECTURES[machine][0]
    for numbers, mode, flags in table.MODES:
        if (number := numbers[column]) is None:
            continue
        for bits, answer in ((0o755, ALLOW), (0o4755, -errno.EPERM), (0o2755, -errno.EPERM), (0o1777, ALLOW)):
            arguments = [0] * 6
            arguments[mode] = bits
            if flags is not None:
                assert call(machine, "own", number, *arguments) == ALLOW  # makes no file: the mode is not looked at
                arguments[flags] = 0x40 | 1
            assert call(machine, "own", number, *arguments) == answer


@BOTH
def test_where_the_mounts_are_the_hosts_owners_modes_and_times_stay(machine: str):
    column = table.ARCHITECTURES[machine][0]
    code = build.assemble(machine, "still")
    assert struct.pack("<HBBI", 0x06, 0, 0, 0x00050000) in code  # "done", and nothing is
    for numbers in table.OWNERS.values():
        if numbers[column] is not None:
            assert call(machine, "still", numbers[column]) == -errno.EPERM


@BOTH
@pytest.mark.parametrize("network", build.NETWORKS)
def test_a_process_decides_only_how_it_runs_itself(machine: str, network: build.Network):
    column = table.ARCHITECTURES[machine][0]
    for numbers in table.RUNNING.values():
        number = numbers[column]
        assert number is not None
        assert [call(machine, network, number, who) for who in (0, 1, 4321)] == [ALLOW, -errno.EPERM, -errno.EPERM]
    for numbers, process in table.RANKS:
        number = numbers[column]
        assert call(machine, network, number, process, 0) == ALLOW
        for what, who in ((process, 4321), (process + 1, 0), (process + 2, 0)):
            assert call(machine, network, number, what, who) == -errno.EPERM


@BOTH
def test_where_the_mounts_are_the_hosts_nobody_watches_its_folders(machine: str):
    number = table.WATCHING[table.ARCHITECTURES[machine][0]]
    assert {network: call(machine, network, number) for network in build.NETWORKS} == {
        "own": ALLOW,
        "tcp": -errno.EPERM,
        "none": -errno.EPERM,
        "still": -errno.EPERM,
    }


@BOTH
def test_families_and_kinds_of_sockets(machine: str):
    column = table.ARCHITECTURES[machine][0]
    make, pair = table.SOCKET[column], table.SOCKETPAIR[column]
    denied = -errno.EACCES
    own = {family: call(machine, "own", make, family, 1) for family in range(46)}
    assert [family for family, answer in own.items() if answer == ALLOW] == [1, 2, 10, 16]
    tcp = {(f, kind): call(machine, "tcp", make, f, kind) for f in range(46) for kind in range(12)}
    assert [key for key, answer in tcp.items() if answer == ALLOW] == [(2, 1), (10, 1)]
    assert call(machine, "tcp", make, 2, 1 | 0x80800) == ALLOW  # close-on-exec, non-blocking
    assert call(machine, "tcp", make, 2, 1, 262) == denied  # MPTCP, which Landlock does not see
    assert call(machine, "tcp", make, 2, 1, 6) == ALLOW
    assert call(machine, "none", make, 2, 1) == denied
    for network in ("tcp", "none", "still"):
        assert call(machine, network, pair, 1, 1) == ALLOW
        assert call(machine, network, pair, 2, 1) == denied


def test_a_machine_without_a_program_has_no_filter(monkeypatch: pytest.MonkeyPatch):
    assert seccomp.supported()
    monkeypatch.setattr(seccomp.os, "uname", lambda: SimpleNamespace(machine="riscv64"))
    assert not seccomp.supported()
