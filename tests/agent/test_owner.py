"""A process's name tells another one of the same host whether it still lives, and nothing about other hosts."""

from __future__ import annotations

import subprocess
import sys

from agent.engine.owner import is_gone, own_name

PRINT_NAME = "from agent.engine.owner import own_name; print(own_name(), flush=True); input()"


def test_who_lives_is_not_gone_and_who_has_ended_is():
    assert not is_gone(own_name())
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PRINT_NAME], stdin=pipe, stdout=pipe, text=True) as other:
        name = other.stdout.readline().strip()
        assert name != own_name()
        assert not is_gone(name)
        other.communicate("\n")
    assert is_gone(name)
    assert is_gone(f"{name}/what-follows")


def test_a_process_id_that_was_used_again_is_another_process():
    host, pid, _, numbers = own_name().split("/")
    assert is_gone(f"{host}/{pid}/1/{numbers}")
    assert is_gone(f"{host}/{pid}/1")  # as earlier versions named themselves


def test_of_another_host_or_of_a_container_with_the_same_name_nothing_is_known():
    host, pid, _, numbers = own_name().split("/")
    assert not is_gone(f"elsewhere/{pid}/1/{numbers}")
    assert not is_gone(f"{host}/{pid}/1/1234")
    assert not is_gone("")
    assert not is_gone(f"{host}/rubbish/1/{numbers}")
