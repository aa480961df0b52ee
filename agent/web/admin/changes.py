"""What the pages change. Every form brings its token; afterwards the reader is sent back to a page that shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from agent.domain.provenance import USER
from agent.domain.run import Origin
from agent.errors import ConfigError, DirigentError, NotFound, PlanError
from agent.web import pipelines, words
from agent.web.admin.automation import pipeline_view
from agent.web.admin.entry import Forged, NotIn, TooMany, check_origin, give, same
from agent.web.admin.rendering import page
from agent.web.admin.triggering import changes_of, money_of, new_trigger
from agent.web.guard import body_of
from agent.web.opening import open_pipeline, open_request
from agent.web.rest.automation import event_called, set_budget
from agent.web.rest.runs import again, run_called
from agent.web.rest.sessions import change_line, forget_line, session_called

if TYPE_CHECKING:
    from agent.web.admin.entry import Visit
    from agent.web.admin.house import House

Path = Mapping[str, Any]
Form = Mapping[str, str]
Went = tuple[str, str]  # where to go on ("" is where the form was), and what to say there
Change = Callable[["House", Path, Form], Awaitable[Went]]
MOST_FIELDS = 100
OWNER = "owner (web)"
SAMPLE = """\
name: {name}
inputs:
  who: {{type: text, default: world}}
steps:
  - {{id: hello, use: value, args: {{value: "hello {{{{ inputs.who }}}}"}}}}
"""
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


def router(house: House) -> APIRouter:
    """Return the routes that change something; each asks first who visits, which raises for who is not logged in."""
    made = APIRouter(prefix="/admin", include_in_schema=False)
    for path, change in CHANGES.items():
        made.add_api_route(path, _route(house, change), methods=["POST"])

    @made.post("/pipelines/{name}")
    async def edit(request: Request, name: str) -> Response:
        """Look at a pipeline's text, or save it; what is wrong is shown with the text as it was typed."""
        visit = await house.entry.visit(request)
        form = await checked_form(request, visit)
        text = form.get("text", "").replace("\r\n", "\n")
        problems: tuple[str, ...] = ()
        if form.get("verb") == "save":
            try:
                await pipelines.save(house.rooms, name, text, OWNER, made_from=form.get("made_from"))
            except pipelines.Stale as error:
                problems = (str(error),)
            except (PlanError, NotFound):
                pass  # the page shows what is wrong, whoever wanted to know
            else:
                house.say(visit.key, "Saved. It counts from the next run on.")
                return RedirectResponse(f"/admin/pipelines/{quote(name)}", 303)
        shown = await asyncio.to_thread(pipeline_view, house, name, text, problems)
        shown |= {"runs": [], "made_from": form.get("made_from", "")}
        status = 422 if shown["problems"] else 200
        return await page(house, visit, "pipeline.html", "pipelines", status=status, **shown)

    @made.post("/pipelines")
    async def begin(request: Request) -> Response:
        """Show a pipeline that is yet to be written; nothing is stored before it is saved."""
        visit = await house.entry.visit(request)
        name = (await checked_form(request, visit)).get("name", "").strip()
        if house.rooms.pipelines.places().get(name) is not None:
            return RedirectResponse(f"/admin/pipelines/{quote(name)}", 303)
        shown = await asyncio.to_thread(pipeline_view, house, name, SAMPLE.format(name=name))
        return await page(house, visit, "pipeline.html", "pipelines", runs=[], **shown)

    @made.post("/logout")
    async def log_out(request: Request) -> Response:
        visit = await house.entry.visit(request)
        await checked_form(request, visit)
        await house.entry.log_out(visit)
        answer = RedirectResponse("/admin/login", 303)
        give(answer, "", secure=_https(house))
        return answer

    return made


def _route(house: House, change: Change) -> Callable[[Request], Awaitable[Response]]:
    """Return a route that has a form carried out, says what came of it, and goes back to where the form was."""

    async def route(request: Request) -> Response:
        visit = await house.entry.visit(request)
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
    rooms, decision = house.rooms, form.get("decision", "")
    approval = await words.open_approval(rooms, path["approval_id"], form.get("digest", ""))
    wanted = {key.removeprefix("arg:"): _typed(text) for key, text in form.items() if key.startswith("arg:")}
    differs = {name: text for name, text in wanted.items() if text != _typed(words.text_of(approval.args.get(name)))}
    if differs and decision in {"allow", "task", "change"}:
        await words.change(rooms, approval, differs, OWNER)
        return "", f"Changed: {', '.join(differs)}. Nothing has been done yet: look at the call and decide."
    if decision == "change":
        raise ConfigError("Nothing is different.", hint="Change an argument, then press the button again.")
    await words.decide(rooms, approval, decision, OWNER, form.get("comment", "").strip())
    return "", f"{DECIDED.get(decision, decision)}: {approval.tool}"


def _typed(text: str) -> str:
    """Return a text as it was typed: browsers send line ends of their own, and drop the first one of a field."""
    return text.replace("\r\n", "\n").removeprefix("\n")


async def _decide_all(house: House, path: Path, form: Form) -> Went:
    approval = await house.rooms.store.get_approval(path["approval_id"])
    if approval is None:
        raise NotFound("There is nothing like that to decide.")
    decision = form.get("decision", "")
    number = await words.decide_all(house.rooms, approval, form.get("pin", ""), decision, OWNER)
    return "", f"{DECIDED[decision]}: {number} calls"


async def _answer(house: House, path: Path, form: Form) -> Went:
    text = (form.get("option") or form.get("answer", "")).strip()
    await words.answer(house.rooms, path["question_id"], text, OWNER)
    return "", f"Answered: {text}"


async def _stop(house: House, path: Path, _form: Form) -> Went:
    return "", await house.rooms.orchestrator.stop_run(await run_called(house.rooms, path["ref"]))


async def _switch(house: House, path: Path, _form: Form) -> Went:
    switch = house.rooms.automation.switch
    if path["verb"] not in {"start", "stop"}:
        raise NotFound(f"Nothing is called {path['verb']!r} here.")
    if path["verb"] == "stop":
        await switch.halt()
        return "", "Nothing starts by itself any more. Events are kept."
    await switch.release()
    return "", "Triggers fire again."


async def _create_trigger(house: House, _path: Path, form: Form) -> Went:
    made = await house.rooms.automation.create(new_trigger(form, await house.rooms.destination()))
    return f"/admin/triggers/{made.id}", f"Created: {made.name}"


async def _edit_trigger(house: House, path: Path, form: Form) -> Went:
    changed = await house.rooms.automation.update(path["trigger_id"], **changes_of(form))
    return f"/admin/triggers/{changed.id}", "Saved."


async def _with_trigger(house: House, path: Path, _form: Form) -> Went:
    name, verb = path["trigger_id"], path["verb"]
    if verb == "delete":
        await house.rooms.automation.delete(name)
        return "/admin/triggers", "Deleted."
    acts = {
        "enable": house.rooms.automation.enable,
        "disable": house.rooms.automation.disable,
        "fire": house.rooms.automation.fire,
    }
    if verb not in acts:
        raise NotFound(f"Nothing is called {verb!r} here.")
    await acts[verb](name)
    return "", {"enable": "Switched on.", "disable": "Switched off.", "fire": "Fired."}[verb]


async def _with_event(house: House, path: Path, _form: Form) -> Went:
    found = await event_called(house.rooms, path["event_id"])
    if path["verb"] == "retry":
        return "", "It is tried again." if await house.rooms.automation.retry(found) else "It is not dead any more."
    return "", "Dropped." if await house.rooms.automation.drop(found) else "It has been handled already."


async def _with_project(house: House, path: Path, form: Form) -> Went:
    name, paused = path["name"], path["verb"] == "pause"
    if path["verb"] == "budget":
        await set_budget(house.rooms, name, money_of(form.get("money", "")))
        return "", "Saved."
    if path["verb"] not in {"pause", "resume"}:
        raise NotFound(f"Nothing is called {path['verb']!r} here.")
    if not await house.rooms.automation.pause_project(name, paused=paused):
        raise NotFound(f"There is no project {name!r}.")
    return "", f"{name} is paused; its events are kept." if paused else f"{name} goes on."


async def _run_pipeline(house: House, path: Path, form: Form) -> Went:
    given = {key.removeprefix("input:"): text for key, text in form.items() if key.startswith("input:") and text}
    opened = await open_pipeline(house.rooms, path["name"], given, origin=Origin.COMMAND, provenance=USER)
    return f"/admin/runs/{opened.ref}", "It runs."


async def _with_memory(house: House, path: Path, form: Form) -> Went:
    session = await session_called(house.rooms, path["session_id"])
    line = form.get("line", "")
    if path["verb"] == "remember":
        fact = await house.rooms.memory(session).remember(form.get("text", ""))
        if fact is None:
            raise ConfigError("That is remembered already, or is empty.")
        return "", "Remembered."
    if path["verb"] == "edit":
        await change_line(house.rooms, session, line, form.get("text", ""))
        return "", "Changed."
    await forget_line(house.rooms, session, line)
    return "", "Forgotten."


async def _retry(house: House, path: Path, _form: Form) -> Went:
    opened = await again(house.rooms, await run_called(house.rooms, path["ref"]))
    return f"/admin/runs/{opened.ref}", "It goes on here."


async def _ask(house: House, _path: Path, form: Form) -> Went:
    request = form.get("request", "").strip()
    if not request:
        raise ConfigError("What should be done?", hint="Write it in your own words.")
    opened = await open_request(house.rooms, request, provenance=USER, origin=Origin.COMMAND)
    return f"/admin/runs/{opened.ref}", ""


async def _with_chain(house: House, path: Path, form: Form) -> Went:
    if path["verb"] == "delete":
        chain = await house.rooms.chains.delete_chain(form.get("name", ""))
        return "", f"Deleted: {chain.name}"
    names = [name.strip() for name in form.get("workflows", "").replace("\n", ",").split(",")]
    chain = await house.rooms.chains.create_chain(form.get("name", ""), [name for name in names if name])
    return "", f"Created: {chain.name}"


CHANGES: dict[str, Change] = {
    "/approvals/{approval_id}": _decide,
    "/approvals/{approval_id}/all": _decide_all,
    "/questions/{question_id}": _answer,
    "/runs": _ask,
    "/runs/{ref}/stop": _stop,
    "/runs/{ref}/retry": _retry,
    "/automation/{verb}": _switch,
    "/triggers": _create_trigger,
    "/triggers/{trigger_id}": _edit_trigger,
    "/triggers/{trigger_id}/{verb}": _with_trigger,
    "/events/{event_id}/{verb}": _with_event,
    "/projects/{name}/{verb}": _with_project,
    "/pipelines/{name}/run": _run_pipeline,
    "/chains/{verb}": _with_chain,
    "/sessions/{session_id}/memory/{verb}": _with_memory,
}
