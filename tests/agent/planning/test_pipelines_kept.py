"""A pipeline is read and checked once while its files stay as they are, and anew as soon as one of them changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.catalogue import Catalogue
from agent.domain.chain import Chain
from agent.domain.session import Profile
from agent.errors import NotFound
from agent.pipelines import Pipelines
from agent.planning import kept
from agent.planning.kept import MOST, Kept, Used
from agent.planning.pipeline_reading import PipelineWrong

OUTER = "name: outer\nsteps: [{id: a, use: 'pipeline:inner'}]\n"
INNER = "name: inner\nsteps: [{id: b, use: value, args: {value: %s}}]\noutputs: {value: '{{ steps.b.output }}'}\n"


class Counting(Pipelines):
    """Pipelines that count how often a file is read."""

    reads = 0

    def read(self, file: Path):
        self.reads += 1
        return super().read(file)


@pytest.fixture
def pipelines(tmp_path: Path, monkeypatch) -> Counting:
    monkeypatch.setattr(kept, "TOO_FRESH_NS", 0)
    (tmp_path / "outer.yaml").write_text(OUTER)
    (tmp_path / "inner.yaml").write_text(INNER % 1)
    return Counting(tmp_path, Catalogue([]))


def values(ready) -> list[object]:
    return [step.args["value"] for step in ready.steps if step.id.endswith("__b")]


def test_files_that_stay_as_they_are_are_read_once(pipelines):
    first = pipelines.load("outer")
    before = pipelines.reads
    assert pipelines.load("outer") is first
    assert pipelines.reads == before
    assert pipelines.load("outer", Profile(role="member")) is not first


def test_a_nested_file_that_changes_in_place_counts_from_the_next_run_on(pipelines, tmp_path):
    assert values(pipelines.load("outer")) == [1]
    inner, seen = tmp_path / "inner.yaml", (tmp_path / "inner.yaml").stat()
    with inner.open("r+") as file:  # as long as before, and said to be as old
        file.write(INNER % 2)
    os.utime(inner, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert values(pipelines.load("outer")) == [2]


def test_a_file_that_is_gone_wrong_or_comes_before_another_counts_at_once(pipelines, tmp_path):
    pipelines.load("outer")
    (tmp_path / "inner.yaml").write_text("name: inner\nsteps: []\n")
    with pytest.raises(PipelineWrong):
        pipelines.load("outer")
    (tmp_path / "inner.yml").write_text(INNER % 4)
    (tmp_path / "inner.yaml").unlink()
    assert values(pipelines.load("outer")) == [4]
    (tmp_path / "inner.yaml").write_text(INNER % 3)  # of both this one counts
    assert values(pipelines.load("outer")) == [3]
    (tmp_path / "outer.yaml").unlink()
    with pytest.raises(NotFound, match="no pipeline 'outer'"):
        pipelines.load("outer")


def test_a_chain_is_kept_too_and_made_anew_with_other_pipelines(pipelines, tmp_path):
    chain = Chain("c1", "both", ("inner", "outer"))
    first = pipelines.load_chain(chain)
    assert pipelines.load_chain(chain) is first
    assert pipelines.load_chain(Chain("c1", "both", ("inner",))) is not first
    (tmp_path / "inner.yaml").write_text(INNER % 2)
    assert pipelines.load_chain(chain) is not first


def test_what_was_written_just_now_is_not_kept(pipelines, monkeypatch):
    monkeypatch.setattr(kept, "TOO_FRESH_NS", 10**15)
    assert pipelines.load("outer") is not pipelines.load("outer")


def test_the_oldest_values_make_room():
    values: Kept[int] = Kept()
    for number in range(MOST + 10):
        values.put(number, number, Used())
    assert values.get(9, {}) is None
    assert values.get(10, {}) == 10
    assert values.get(MOST + 9, {}) == MOST + 9
