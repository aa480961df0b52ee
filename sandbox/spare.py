"""A process that is forked before there is a job for it, so that no job waits for a fork of the init."""

from __future__ import annotations

import contextlib
import os
import socket

from sandbox import frames, inside

MOST_DESCRIPTORS = 16


class Spare:
    """Made by a fork: `pid` is 0 in the child, which then waits for its job; the init has the other end of the line."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            self.pid = os.fork()
            self._line = socket.socket(fileno=(theirs if self.pid == 0 else ours).detach())

    def hand(self, descriptors: dict[str, int], group: int) -> bool:
        """Pass it what it needs to become a job, or beforehand the entrances to the job's control groups alone.

        `group` is their number, 0 when there are none. False when it is gone.
        """
        record = frames.encode({"names": list(descriptors), "group": group})
        try:
            socket.send_fds(self._line, [record], list(descriptors.values()))
        except OSError:
            return False
        return True

    def wait(self) -> dict[str, int]:
        """Wait, in the child, for the job and return its descriptors; end when the init has given up on it.

        Groups that it is told of beforehand it joins at once: the kernel may take 15 ms for that, and no job waits.
        """
        os.chdir("/")  # whoever looks for what still works in the workspace is not to find it there
        joined = 0
        while "request" not in (received := self._receive())[0]:
            with contextlib.suppress(OSError):  # then the job joins, or fails
                inside.join_cgroups(received[0])
                joined = received[1]
        self._line.close()
        descriptors, group = received
        inside.join_cgroups(descriptors, joined=joined == group)
        return descriptors

    def _receive(self) -> tuple[dict[str, int], int]:
        raw, found, _, _ = socket.recv_fds(self._line, frames.PACKET, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        if not raw:
            os._exit(0)
        record = frames.decode(raw)
        return dict(zip(record["names"], found, strict=True)), record["group"]

    def close(self) -> None:
        """Let go of it."""
        self._line.close()
