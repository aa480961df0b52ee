"""A process that is forked before there is a job for it, so that no job waits for a fork of the init."""

from __future__ import annotations

import os
import socket

from sandbox import frames

MOST_DESCRIPTORS = 16


class Spare:
    """Made by a fork: `pid` is 0 in the child, which then waits for its job; the init has the other end of the line."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            self.pid = os.fork()
            self._line = socket.socket(fileno=(theirs if self.pid == 0 else ours).detach())

    def become(self, descriptors: dict[str, int]) -> bool:
        """Have it take over a job, whose descriptors these are; False when it is gone."""
        names = frames.encode({"names": list(descriptors)})
        try:
            socket.send_fds(self._line, [names], list(descriptors.values()))
        except OSError:
            return False
        finally:
            self.close()
        return True

    def wait(self) -> dict[str, int]:
        """Wait, in the child, for the job; end when the init has given up on it."""
        os.chdir("/")  # whoever looks for what still works in the workspace is not to find it there
        raw, found, _, _ = socket.recv_fds(self._line, frames.PACKET, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        if not raw:
            os._exit(0)
        self._line.close()
        return dict(zip(frames.decode(raw)["names"], found, strict=True))

    def close(self) -> None:
        """Let go of it."""
        self._line.close()
