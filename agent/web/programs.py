"""What other programs may have done, over MCP: the desk behind `agent.mcp.serving`, and the door `/mcp`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse

from agent.domain.provenance import Provenance
from agent.domain.run import Origin
from agent.domain.states import FINAL, Status
from agent.errors import DirigentError, NotFound
from agent.execution.people import answerer
from agent.web.guard import LOOPBACK
from agent.web.opening import open_pipeline, open_request, ref_of
from agent.web.tokens import Refused, check_token
from agent.web.words import ANYBODYS

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Receive, Scope, Send

    from agent.domain.inputs import InputSpec
    from agent.domain.run import Run
    from agent.mcp.serving import Offer, Told
    from agent.web.rooms import Rooms

SOURCE = "program (MCP)"
FROM_PROGRAM = Provenance.of(SOURCE, trusted=False)
BY = "mcp"
IN_CHAT = "It waits for the owner, who is asked in their own chat."
MOST_FILE = 8 << 20
SCHEMAS = {"number": "number", "integer": "integer", "boolean": "boolean", "list": "array"}


class ProgramDesk:
    """Implements `agent.mcp.serving.Desk` over the same rooms as the API.

    A program's word is labelled untrusted, whoever's token it shows: it is no message that the owner has typed.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def ask(self, request: str, key: str) -> str:
        """Open a run for a request."""
        rooms = self._rooms
        ref = _ref_of("ask", key) if key else ""
        async with rooms.opening:
            if ref and (known := await self._find(ref)) is not None:
                return _same(known, known.request == request)
            run = await open_request(rooms, request, provenance=FROM_PROGRAM, ref=ref)
        return run.ref

    async def pipelines(self) -> list[Offer]:
        """Return the pipelines, with what is wrong with one in its description."""
        return await asyncio.to_thread(self._offers)

    def _offers(self) -> list[Offer]:
        from agent.mcp.serving import Offer

        pipelines = self._rooms.pipelines
        found = []
        for name in pipelines.names():
            try:
                inputs = pipelines.read(pipelines.file_of(name))[0].inputs
            except DirigentError:
                inputs = {}
            found.append(Offer(name, pipelines.described(name), schema_of(inputs)))
        return found

    async def run_pipeline(self, name: str, inputs: dict[str, Any], key: str) -> str:
        """Open a run of a pipeline."""
        rooms = self._rooms
        ref = _ref_of(f"pipeline {name}", key) if key else ""
        async with rooms.opening:
            if ref and (known := await self._find(ref)) is not None:
                return known.ref
            run = await open_pipeline(rooms, name, inputs, origin=Origin.API, provenance=FROM_PROGRAM, ref=ref)
        return run.ref

    async def told(self, ref: str) -> Told:
        """Return how a run is doing."""
        from agent.mcp.serving import Told

        run = await self._run(ref)
        store = self._rooms.store
        records = await store.get_steps(run.id)
        asked = [question for question in await store.questions_of(run.id) if question.answer is None]
        mine = tuple(
            {"id": one.id, "text": one.text, "options": list(one.options)} for one in asked if one.kind in ANYBODYS
        )
        over = run.status in FINAL
        open_ones = [one for one in await store.approvals_of(run.id) if one.decision is None]
        owners = not over and run.status is Status.WAITING_APPROVAL and (open_ones or len(mine) < len(asked))
        return Told(
            run.ref,
            run.status.value,
            over=over,
            answer=run.answer,
            error=run.error,
            waits=IN_CHAT if owners else "",
            questions=() if over else mine,
            steps=tuple((record.step.label, record.status.value) for record in records),
            files=tuple(await self._files(run)) if over else (),
        )

    async def answer(self, ref: str, question: str, answer: str) -> None:
        """Answer a question of a run; what only an owner may say is refused."""
        run = await self._run(ref)
        asked = await self._rooms.store.get_question(question)
        if asked is None or asked.run_id != run.id:
            raise NotFound("The run has no such question.", hint="`run_status` lists those that are open.")
        if asked.kind not in ANYBODYS:
            raise DirigentError("Only the owner may answer this, in their own chat.")
        settled = await self._rooms.orchestrator.answer_question(question, answer, answerer(BY, trusted=False))
        if settled is None:
            raise DirigentError("It has been answered already.")

    async def stop(self, ref: str) -> None:
        """Stop a run."""
        await self._rooms.orchestrator.stop_run(await self._run(ref))

    async def file(self, ref: str, name: str) -> bytes:
        """Return a file of a run's answer, as it was when the run ended."""
        from agent.execution.toolbox import fingerprint
        from sandbox.api import SandboxError
        from sandbox.workspace import Workspace

        run = await self._run(ref)
        digest = (await self._files(run)).get(name)
        if digest is None or run.status not in FINAL:
            raise NotFound("The answer has no such file.")
        session = await self._rooms.orchestrator.sessions.open(run.session_id)
        await self._rooms.orchestrator.sessions.fetch(session)

        def read() -> bytes:
            with Workspace(session.workspace) as workspace:
                return workspace.read_bytes(name, MOST_FILE)

        try:
            _, now = await asyncio.to_thread(fingerprint, session, name)
            if now != digest:
                raise NotFound("The file has changed since the answer.")
            return await asyncio.to_thread(read)
        except (OSError, SandboxError):
            raise NotFound(f"The file is gone, or larger than {MOST_FILE >> 20} MB.") from None

    # --- what belongs to programs -----------------------------------------------------------------------------------
    async def _find(self, ref: str) -> Run | None:
        run = await self._rooms.store.find_run(ref)
        return run if run is not None and SOURCE in run.provenance.untrusted_names else None

    async def _run(self, ref: str) -> Run:
        run = await self._find(ref)
        if run is None:
            raise NotFound("There is no such run.", hint="Programs see the runs that programs have begun.")
        return run

    async def _files(self, run: Run) -> dict[str, str]:
        return {one.path: one.sha256 for one in await self._rooms.store.artifacts_of(run.id) if one.deliver}


def _same(known: Run, equal: bool) -> str:  # noqa: FBT001
    if not equal:
        raise DirigentError("This key was used with another request.", hint=f"It opened the run {known.ref}.")
    return known.ref


def _ref_of(what: str, key: str) -> str:
    return ref_of(what, key, "m")


def schema_of(inputs: dict[str, InputSpec] | Any) -> dict[str, Any]:
    """Return a pipeline's inputs as a JSON Schema."""
    properties: dict[str, Any] = {}
    for name, spec in inputs.items():
        kind: dict[str, Any] = {"type": SCHEMAS.get(spec.type.value, "string")}
        kind |= {"description": spec.description} if spec.description else {}
        kind |= {"default": spec.default} if spec.default is not None else {}
        properties[name] = {"enum": list(spec.choices)} | kind | {} if spec.choices else kind
        if spec.choices:
            properties[name].pop("type")
    needed = [name for name, spec in inputs.items() if spec.needed]
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


class ProgramDoor:
    """`/mcp` behind the API's token. A page in somebody's browser is refused by its Origin, whatever it knows."""

    def __init__(self, inner: ASGIApp, token: str, hosts: Collection[str]) -> None:
        self._inner = inner
        self._token = token
        self._hosts = {*hosts, *LOOPBACK}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or say why not."""
        request = Request(scope)
        try:
            check_token(request, self._token)
            self._check_origin(request)
        except Refused as refused:
            headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else None
            answer = JSONResponse({"error": refused.said, "hint": refused.hint}, refused.status, headers)
            await answer(scope, receive, send)
            return
        await self._inner(scope, receive, send)

    def _check_origin(self, request: Request) -> None:
        origin = request.headers.get("origin")
        if origin is not None and (urlsplit(origin).hostname or "") not in self._hosts:
            raise Refused(403, "Pages of other origins are not let in.", "Programs send no Origin.")
