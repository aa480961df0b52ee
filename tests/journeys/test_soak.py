"""Chats under faults and kills: each message is answered exactly once, in order. `benchmarks/soak.py` is the full size."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.soak import Soak


@pytest.mark.crash
@pytest.mark.timeout(600)
async def test_under_faults_and_kills_each_message_is_answered_once_and_in_order(tmp_path: Path):
    soak = Soak(chats=40, messages=8, kills=4, seed=20261121, seconds=240.0)
    (tmp_path / "home").mkdir()
    await soak.run(tmp_path / "home")
    assert soak.wrong == []
    assert sum(soak.faults.values()) > 30, "too little went wrong to show anything"
