"""What the pages change. Every form brings its token; afterwards the reader is sent back to a page that shows it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from agent.domain.provenance import USER
from agent.domain.run import Origin
from agent.domain.trigger import Trigger, TriggerKind
from agent.errors import ConfigError, DirigentError, NotFound
from agent.execution.people import OWNERS_CHOICE
from agent.web.admin import editing
from agent.web.admin.entry import Forged, NotIn, TooMany, check_origin, give, same
from agent.web.admin.pages import pipeline_view, run_called, session_called
from agent.web.admin.rendering import page
from agent.web.api import open_pipeline
from agent.web.guard import body_of

if TYPE_CHECKING:
    from agent.web.admin.entry import Visit
    from agent.web.admin.house import House

Letting = Callable[[Request], Awaitable["Visit"]]
Path = Mapping[str, Any]
Form = Mapping[str, str]
Went = tuple[str, str]  # where to go on ("" is where the form was), and what to say there
Change = Callable[["House", Path, Form], Awaitable[Went]]
MOST_FIELDS = 100
OWNER = "owner (web)"
DECIDED = {"allow": "Allowed", "task": "Allowed for this task", "deny": "Denied", "revise": "To be revised"}


async def form_of(request: Request) -> dict[str, str]:
    """Return a form's fields. Raises TooLarge, TooSlow; of a field that comes twice the last one counts."""
    body = await body_of(request)
    try:
        found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except (UnicodeDecodeError, ValueError):
        raise Forged("This form cannot be read.") from None
    return {name: values[-1] for name, values in found.items()}


def open_router(house: House) -> APIRouter:
    """Return the way in."""
    made = APIRouter(include_in_schema=False)

    @made.post("/admin/login")
    async def log_in(request: Request) -> Response:
        check_origin(request)
        form = await form_of(request)
        code = form.get("code", "")
        try:
            cookie = await house.entry.log_in(password=form.get("password", ""), code=code)
        except (NotIn, TooMany) as error:
            status = 429 if isinstance(error, TooMany) else 401
            said = {"code": "", "error": str(error), "with_password": house.entry.has_password}
            return await page(house, None, "login.html", "", status=status, **said)
        answer = RedirectResponse("/admin", 303)
        give(answer, cookie, secure=request.url.scheme == "https" or _https(house))
        return answer

    return made


def _https(house: House) -> bool:
    return str(house.config.web.public_url or "").startswith("https:")


def router(house: House, let_in: Letting) -> APIRouter:
    """Return the routes that change something; each calls `let_in` first, which raises for who is not logged in."""
    made = APIRouter(prefix="/admin", include_in_schema=False)
    for path, change in CHANGES.items():
        made.add_api_route(path, _route(house, let_in, change), methods=["POST"])

    @made.post("/pipelines/{name}")
    async def edit(request: Request, name: str) -> Response:
        """Look at a pipeline's text, or save it; what is wrong is shown with the text as it was typed."""
        visit = await let_in(request)
        form = await checked_form(request, visit)
        text = form.get("text", "").replace("\r\n", "\n")
        if form.get("verb") == "save":
            problems = await asyncio.to_thread(editing.save, house, name, text)
            if not problems:
                await house.reload()
                house.say(visit.key, "Saved. It counts from the next run on.")
                return RedirectResponse(f"/admin/pipelines/{quote(name)}", 303)
        shown = await asyncio.to_thread(pipeline_view, house, name, text)
        status = 422 if shown["problems"] else 200
        return await page(house, visit, "pipeline.html", "pipelines", status=status, **shown)

    @made.post("/logout")
    async def log_out(request: Request) -> Response:
        visit = await let_in(request)
        await checked_form(request, visit)
        await house.entry.log_out(visit)
        answer = RedirectResponse("/admin/login", 303)
        give(answer, "", secure=_https(house))
        return answer

    return made


def _route(house: House, let_in: Letting, change: Change) -> Callable[[Request], Awaitable[Response]]:
    """Return a route that has a form carried out, says what came of it, and goes back to where the form was."""

    async def route(request: Request) -> Response:
        visit = await let_in(request)
        form = await checked_form(request, visit)
        back = _back(request)
        try:
            to, said = await change(house, request.path_params, form)
        except DirigentError as error:
            house.say(visit.key, str(error), "bad")
            return RedirectResponse(back, 303)
        house.say(visit.key, said)
        return RedirectResponse(to or back, 303)

    return route


async def checked_form(request: Request, visit: Visit) -> dict[str, str]:
    """Return a form that came from one of our pages. Raises Forged."""
    check_origin(request)
    form = await form_of(request)
    if not same(form.get("csrf", ""), visit.csrf):
        raise Forged("This form is too old.", hint="Open the page again and send it anew.")
    return form


def _back(request: Request) -> str:
    """Return the page that a form was on, as a path of ours."""
    _, _, path = request.headers.get("referer", "").partition("://")
    path = "/" + path.partition("/")[2].partition("?")[0]
    return path if path.startswith("/admin") and "//" not in path else "/admin"


async def _decide(house: House, path: Path, form: Form) -> Went:
    approval = await house.rooms.store.get_approval(path["approval_id"])
    decision, comment = form.get("decision", ""), form.get("comment", "").strip()
    if approval is None or decision not in approval.choices:
        raise NotFound("There is nothing like that to decide.")
    if not same(form.get("digest", ""), approval.digest):
        raise Forged("What is asked has changed meanwhile.", hint="Look at it again.")
    if decision == "revise" and not comment:
        raise ConfigError("What should be different?", hint="Write it into the field, then press Revise.")
    made = await house.rooms.orchestrator.decide_approval(approval.id, decision, OWNER, comment=comment)
    if made is None:
        raise NotFound("That came too late: it has been decided already, or has expired.")
    return "", f"{DECIDED.get(decision, decision)}: {approval.tool}"


async def _answer(house: House, path: Path, form: Form) -> Went:
    text = (form.get("option") or form.get("answer", "")).strip()
    if not text:
        raise ConfigError("The answer is empty.", hint="Write one, or press one of the buttons.")
    question = await house.rooms.store.get_question(path["question_id"])
    if question is not None and question.kind in OWNERS_CHOICE and text not in question.options:
        raise ConfigError(f"{text!r} is none of the choices.", hint=f"They are {', '.join(question.options)}.")
    if await house.rooms.orchestrator.answer_question(path["question_id"], text, OWNER) is None:
        raise NotFound("That came too late: it has been answered already.")
    return "", f"Answered: {text}"


async def _stop(house: House, path: Path, _form: Form) -> Went:
    return "", await house.rooms.orchestrator.stop_run(await run_called(house, path["ref"]))


async def _switch(house: House, path: Path, _form: Form) -> Went:
    switch = house.rooms.automation.switch
    if path["verb"] == "stop":
        await switch.halt()
        return "", "Nothing starts by itself any more. Events are kept."
    await switch.release()
    return "", "Triggers fire again."


async def _create_trigger(house: House, _path: Path, form: Form) -> Went:
    made = await house.triggers.create(await _trigger(house, form))
    return f"/admin/triggers/{made.id}", f"Created: {made.name}"


async def _with_trigger(house: House, path: Path, _form: Form) -> Went:
    name, verb = path["trigger_id"], path["verb"]
    if verb == "delete":
        await house.triggers.delete(name)
        return "/admin/triggers", "Deleted."
    acts = {"enable": house.triggers.enable, "disable": house.triggers.disable, "fire": house.triggers.fire}
    if verb not in acts:
        raise NotFound(f"Nothing is called {verb!r} here.")
    await acts[verb](name)
    return "", {"enable": "Switched on.", "disable": "Switched off.", "fire": "Fired."}[verb]


async def _with_event(house: House, path: Path, _form: Form) -> Went:
    number = path["event_id"]
    found = await house.rooms.store.event_numbered(int(number)) if number.isdecimal() else None
    if found is None:
        raise NotFound("There is no such event.")
    if path["verb"] == "retry":
        return "", "It is tried again." if await house.triggers.retry(found) else "It is not dead any more."
    return "", "Dropped." if await house.triggers.drop(found) else "It has been handled already."


async def _with_project(house: House, path: Path, _form: Form) -> Went:
    name, paused = path["name"], path["verb"] == "pause"
    if not await house.triggers.pause_project(name, paused=paused):
        raise NotFound(f"There is no project {name!r}.")
    return "", f"{name} is paused; its events are kept." if paused else f"{name} goes on."


async def _run_pipeline(house: House, path: Path, form: Form) -> Went:
    given = {key.removeprefix("input:"): text for key, text in form.items() if key.startswith("input:") and text}
    opened = await open_pipeline(house.rooms, path["name"], given, origin=Origin.COMMAND, provenance=USER)
    return f"/admin/runs/{opened.ref}", "It runs."


async def _forget(house: House, path: Path, form: Form) -> Went:
    session = await session_called(house, path["session_id"])
    memory = house.memory(str(session["folder"]))
    entries = await memory.entries()
    left = [entry for entry in entries if entry.line() != form.get("line", "")]
    if len(left) == len(entries):
        raise NotFound("That is not remembered any more.")
    await memory.write(left)
    return "", "Forgotten."


async def _trigger(house: House, form: Form) -> Trigger:
    """Return the trigger that a form describes. Raises ConfigError naming what is wrong."""
    dest = await house.rooms.destination()
    what = form.get("what", "").strip()
    kind = form.get("does", "request")
    if not what or kind not in {"request", "pipeline", "chain", "notice"}:
        raise ConfigError("What should it do?", hint="A request in words, or the name of a pipeline.")
    return Trigger(
        id=f"w{secrets.token_hex(4)}",
        name=form.get("name", "").strip() or what[:60],
        kind=TriggerKind.SCHEDULE if form.get("when", "cron") in {"cron", "every"} else TriggerKind.EVENT,
        spec=_spec(form),
        target={kind: what},
        session_id=dest.session_id,
        dest=dest,
        created_by=dest.chat_id,
    )


def _spec(form: Form) -> dict[str, Any]:
    when, value = form.get("when", "cron"), form.get("value", "").strip()
    if not value:
        raise ConfigError("When should it fire?", hint="Such as `0 9 * * 1-5`, `3600` seconds, or `order.*`.")
    if when == "every":
        try:
            return {"every": float(value)}
        except ValueError:
            raise ConfigError(f"{value!r} is no number of seconds.", hint="3600 is every hour.") from None
    if when == "event":
        return {"type": value}
    return {"cron": value, "zone": form.get("zone", "").strip() or "UTC"}


CHANGES: dict[str, Change] = {
    "/approvals/{approval_id}": _decide,
    "/questions/{question_id}": _answer,
    "/runs/{ref}/stop": _stop,
    "/automation/{verb}": _switch,
    "/triggers": _create_trigger,
    "/triggers/{trigger_id}/{verb}": _with_trigger,
    "/events/{event_id}/{verb}": _with_event,
    "/projects/{name}/{verb}": _with_project,
    "/pipelines/{name}/run": _run_pipeline,
    "/sessions/{session_id}/forget": _forget,
}
