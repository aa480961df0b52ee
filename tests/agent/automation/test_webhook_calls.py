"""A signed call is one event for its webhook; everything else is refused, and replays change nothing."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from agent.automation.scheduler import AutomationScheduler
from agent.automation.webhook import Came, Hooks, payload_of, sign, sign_body
from agent.domain.trigger import Trigger, TriggerKind
from agent.errors import ConfigError, NotFound

BODY = b'{"order": {"total": 120}}'


@pytest.fixture
def hooks(tmp_path: Path, clock) -> Hooks:
    return Hooks(tmp_path / "secrets" / "webhooks", clock)


@pytest.fixture
def automation(a_desk, clock, store, hooks) -> AutomationScheduler:
    return AutomationScheduler(store, a_desk(), clock, hooks=hooks, wait=clock.wait)


@pytest.fixture
async def webhook(automation, a_trigger) -> Trigger:
    spec = {"type": "webhook.orders", "conditions": {"order.total": {"ge": 100}}}
    fields = {"kind": TriggerKind.WEBHOOK, "target": {"request": "Look at {file}"}}
    await automation.create(a_trigger({**spec, "type": "webhook.orders"}, id="other", **fields))
    return await automation.create(a_trigger(spec, id="w1", **fields))


def headers(secret: str, clock, body: bytes = BODY, *, late: float = 0.0) -> dict[str, str]:
    timestamp = str(clock.now - late)
    return {"X-Dirigent-Timestamp": timestamp, "X-Dirigent-Signature": sign(secret, body, timestamp)}


async def test_a_signed_call_fires_its_own_webhook_once_and_is_not_trusted(automation, hooks, clock, store, webhook):
    hooks.make_secret("other")
    given = headers(hooks.make_secret("w1"), clock)

    assert await automation.receive("w1", given, BODY) is Came.ACCEPTED
    assert await automation.receive("w1", given, BODY) is Came.DUPLICATE
    await automation._round()

    (run,) = await store.unfinished_runs()
    assert run.request == "Look at event-1.json"
    assert run.provenance.untrusted_names == ("webhook:w1",)
    (event,) = await store.events("handled")
    assert (event.type, event.payload, event.at) == ("webhook.orders", json.loads(BODY), clock.now)
    assert await store.fires_of("other") == []


async def test_the_same_body_at_another_time_is_another_call(automation, hooks, clock, store, webhook):
    secret = hooks.make_secret("w1")
    assert await automation.receive("w1", headers(secret, clock), BODY) is Came.ACCEPTED
    assert await automation.receive("w1", headers(secret, clock, late=1), BODY) is Came.ACCEPTED


async def test_what_is_not_signed_as_it_must_be_is_refused_and_leaves_nothing(automation, hooks, clock, store, webhook):
    secret = hooks.make_secret("w1")
    good = headers(secret, clock)
    calls = [
        ({}, BODY),
        (headers("another", clock), BODY),
        (good, BODY + b" "),
        (headers(secret, clock, late=301), BODY),
        (headers(secret, clock, late=-301), BODY),
        ({**good, "X-Dirigent-Timestamp": str(clock.now + 1)}, BODY),
        ({"X-Hub-Signature-256": sign_body(secret, BODY)}, BODY),
        (headers("", clock), BODY),
    ]
    assert {await automation.receive("w1", *call) for call in calls} == {Came.REFUSED}
    assert await automation.receive("other", headers("", clock), BODY) is Came.REFUSED  # it has no secret yet
    assert await store.events("new") == []


async def test_a_new_secret_makes_the_earlier_one_worthless_and_only_the_owner_may_read_it(
    automation, hooks, clock, webhook
):
    old = hooks.make_secret("w1")
    new = hooks.make_secret("w1")

    assert await automation.receive("w1", headers(old, clock), BODY) is Came.REFUSED
    assert await automation.receive("w1", headers(new, clock), BODY) is Came.ACCEPTED
    assert stat.S_IMODE((hooks.folder / "w1").stat().st_mode) == 0o600
    assert stat.S_IMODE(hooks.folder.stat().st_mode) == 0o700
    assert [file.name for file in hooks.folder.iterdir()] == ["w1"]
    await automation.delete("w1")
    assert hooks.secret_of("w1") == ""


async def test_the_signature_of_github_counts_where_the_webhook_says_so(automation, hooks, a_trigger):
    spec = {"type": "webhook.push", "signature": "github"}
    await automation.create(a_trigger(spec, id="g1", kind=TriggerKind.WEBHOOK))
    given = {"x-hub-signature-256": sign_body(hooks.make_secret("g1"), BODY)}

    assert await automation.receive("g1", given, BODY) is Came.ACCEPTED
    assert await automation.receive("g1", given, BODY) is Came.DUPLICATE
    assert await automation.receive("g1", given, b"{}") is Came.REFUSED


async def test_a_call_to_what_is_no_webhook_or_is_paused_is_told(automation, hooks, clock, webhook, a_trigger):
    await automation.create(a_trigger({"every": 60}, id="t9"))
    for wrong in ("t9", "nothing", "../../etc/passwd"):
        with pytest.raises(NotFound):
            await automation.receive(wrong, {}, BODY)
    secret = hooks.make_secret("w1")
    await automation.disable("w1")
    with pytest.raises(ConfigError, match="is paused"):
        await automation.receive("w1", headers(secret, clock), BODY)
    assert await automation.receive("w1", {}, BODY) is Came.REFUSED  # who can't sign learns nothing


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (b"", {}),
        (b"[1, 2]", {"value": [1, 2]}),
        (b"a=1&b=2", {"text": "a=1&b=2"}),
        (b'{"n": NaN}', {"text": '{"n": NaN}'}),
        (b"[" * 100_000, {"text": "[" * 100_000}),
        (b'{"a": "\\ud800"}', {"a": "\ud800"}),
    ],
)
async def test_any_text_is_a_payload(body, payload, automation, hooks, clock, store, webhook):
    assert payload_of(body) == payload
    secret = hooks.make_secret("w1")
    assert await automation.receive("w1", headers(secret, clock, body), body) is Came.ACCEPTED
    assert len(await store.events("new")) == 1


@pytest.mark.parametrize("body", [b"\xff\xfe", b"x" * 1_048_577])
def test_what_is_no_text_or_too_much_is_told(body):
    with pytest.raises(ConfigError):
        payload_of(body)
