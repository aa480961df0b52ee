"""What going back would do, whatever the three states are: nothing of anybody else is touched."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.domain.versions import KeptFile, State, same
from agent.versions.comparing import Way, way_back, way_forth

PATHS = ("a", "b", "c/d")
FILES = st.builds(KeptFile, st.sampled_from(["x", "y", "z"]), st.just(1), st.sampled_from([0o644, 0o755]))
STATES = st.dictionaries(st.sampled_from(PATHS), FILES)
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy


def made(state: State, way: Way) -> dict[str, KeptFile]:
    """Return the state after the way was gone."""
    there = dict(state)
    for change in way.changes:
        assert same(there.get(change.path), change.was)
        there.pop(change.path, None)
        if change.to is not None:
            there[change.path] = change.to
    return there


@PATIENT
@given(STATES, st.none() | STATES, STATES, st.frozensets(st.sampled_from(PATHS)))
def test_each_path_is_as_before_the_run_or_as_somebody_else_has_left_it(
    before: State, after: State | None, now: State, others: frozenset[str]
):
    way = way_back(before, after, now, others)
    there = made(now, way)
    left = now if after is None else after
    for path in PATHS:
        by_the_run = same(left.get(path), now.get(path)) and path not in others
        wanted = before if by_the_run and not same(before.get(path), left.get(path)) else now
        assert same(there.get(path), wanted.get(path))
        if path in way.stays:
            assert not by_the_run


@PATIENT
@given(STATES, STATES)
def test_there_and_back_again_is_where_it_began(before: State, now: State):
    way = way_back(before, now, now, frozenset())
    there = made(now, way)
    forth = way_forth(way.changes, there)
    assert forth.stays == forth.lost == ()
    again = made(there, forth)
    assert all(same(again.get(path), now.get(path)) for path in PATHS)


def test_bytes_that_were_not_kept_are_told_and_not_promised():
    was = KeptFile("x", 10**9, kept=False)
    way = way_back({"a": was}, None, {"a": KeptFile("y", 1)}, frozenset())
    assert (way.changes, way.lost) == ((), ("a",))


def test_two_ways_have_one_digest_only_when_they_do_the_same():
    one = way_back({}, None, {"a": KeptFile("x", 1)}, frozenset())
    other = way_back({}, None, {"a": KeptFile("y", 1)}, frozenset())
    assert one.digest != other.digest
    assert one.digest == way_back({}, None, {"a": KeptFile("x", 1)}, frozenset()).digest
