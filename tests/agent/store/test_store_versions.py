"""Snapshots and what was put back, in the journal: noted once, labels in the same commit as the end."""

from __future__ import annotations

from pathlib import Path

from agent.domain.artifacts import Artifact
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.domain.provenance import USER, Provenance
from agent.domain.run import Run
from agent.domain.versions import Change, KeptFile, Restoration, Snapshot

FOREIGN = Provenance.of("web:x", trusted=False)
DEST = Destination("test", "1")


async def run_of(store) -> Run:
    await store.touch_session(DEST.session_id, Path("/x"), {})
    return await store.open_run(Run(DEST.session_id, "do it", DEST))


async def test_the_first_snapshot_of_a_run_stays(store):
    run = await run_of(store)
    await store.add_snapshot(Snapshot(run.session_id, run.id, "first"))
    await store.add_snapshot(Snapshot(run.session_id, run.id, "second"))
    await store.close_snapshot(run.id, "left")
    (found,) = await store.snapshots(run.session_id)
    assert (found.before, found.after, found.state) == ("first", "left", "taken")
    assert found == await store.snapshot_of(run.id) == await store.get_snapshot(found.id)


async def test_labels_follow_in_the_same_commit_once_and_only_of_what_was_done(store):
    run = await run_of(store)
    await store.add_artifacts(run.session_id, run.id, "s", [Artifact("a"), Artifact("b")])
    rows = await store.label_rows(run.session_id)
    await store.add_artifacts(
        run.session_id, run.id, "s", [Artifact("a", provenance=FOREIGN), Artifact("b", provenance=FOREIGN)]
    )
    later = await store.label_rows(run.session_id)
    await store.add_snapshot(Snapshot(run.session_id, run.id, "x"))
    changes = tuple(Change(n, KeptFile("2", 1, row=later[n]), KeptFile("1", 1, row=rows[n])) for n in "ab")
    begun = await store.begin_restoration(Restoration(run.session_id, run.id, changes, done_by="1"))
    assert await store.open_restorations() == [begun]
    told = OutboundMessage(DEST, MessageKind.NOTICE, "undo", {"text": "undone"}, session_id=run.session_id)
    await store.finish_restoration(begun, ["a"], [told])
    labels = await store.labels(run.session_id)
    assert labels["a"].trusted
    assert not labels["b"].trusted
    assert (await store.snapshot_of(run.id)).state == "undone"
    assert await store.open_restorations() == []
    assert (await store.get_message("undo")).payload == {"text": "undone"}

    await store.add_artifacts(run.session_id, None, "", [Artifact("a", provenance=FOREIGN)])
    await store.finish_restoration(begun, ["a", "b"], [told])
    assert not (await store.labels(run.session_id))["a"].trusted, "finished again, it changes nothing"


async def test_who_has_written_a_path_last_is_known(store):
    run = await run_of(store)
    await store.add_artifacts(run.session_id, run.id, "s", [Artifact("a", provenance=USER), Artifact("b")])
    await store.add_artifacts(run.session_id, None, "", [Artifact("b")])
    assert await store.writers(run.session_id, 0.0) == {"a": run.id, "b": None}
    assert await store.writers(run.session_id, 1e12) == {}


async def test_a_forgotten_snapshot_takes_along_what_was_put_back_from_it(store):
    run = await run_of(store)
    await store.add_snapshot(Snapshot(run.session_id, run.id, "x"))
    begun = await store.begin_restoration(Restoration(run.session_id, run.id, ()))
    await store.finish_restoration(begun, [])
    (found,) = await store.snapshots(run.session_id)
    assert await store.snapshot_sessions(1e12) == [run.session_id]
    await store.forget_snapshots([found.id])
    assert await store.snapshots(run.session_id) == await store.restorations(run.session_id) == []
