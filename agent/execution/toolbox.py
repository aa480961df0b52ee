"""Runs one tool call: inside the session's sandbox, or in this process for host tools. No policy, no journal here."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import inspect
import math
import mimetypes
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent import tracing
from agent.domain.artifacts import Artifact
from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.domain.ledger import Usage
from agent.errors import ToolError, reference_id
from agent.execution.charged import KIND, charged
from agent.execution.host_tools import HostContext
from agent.execution.services import Services
from agent.llm.protocol import Picture
from agent.logs import SHORTEST_SECRET, Redactor
from agent.mcp.plugins import SOURCE
from agent.mcp.servers import Asked, Servers
from agent.metrics.tally import tally
from plugins.api import Output, PluginError, ToolFailure
from sandbox.api import Job, JobStatus, Limits, Progress, SandboxError, SandboxGone, ToolCall
from sandbox.values import plain
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from agent.domain.session import Session
    from agent.execution.context import RunContext
    from agent.execution.services import Named
    from agent.policy.budget import Budget
    from agent.store.protocol import Store
    from plugins.api import Memory, ToolSpec
    from sandbox.api import JobResult
    from sandbox.boxes import Boxes

LOOKING, LOOKING_SECONDS = "plugins.documents.looking", 60.0
MOST_TEXT = 4_000_000  # as much as a sandboxed tool may return
Report = Callable[[Progress], None]
ENDINGS = {
    JobStatus.OOM: "It needed more memory than a step may use ({memory} MB); `sandbox.memory_mb` sets it.",
    JobStatus.DISK: "It wrote more than the workspace may hold ({disk} MB); `sandbox.disk_mb` sets it.",
    JobStatus.PIDS: "It started more processes than a step may.",
    JobStatus.OUTPUT: "It printed more than a step may.",
    JobStatus.CANCELLED: "It was stopped.",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool with validated arguments. `seconds` is how long it may take; `report` is told its progress.

    `services` are the names that the run's pipeline gives to services. Without a `budget` nothing is charged. `run` is
    the run's name, for the audit log.
    """

    session: Session
    spec: ToolSpec
    args: dict[str, Any]
    step_id: str
    seconds: float
    report: Report
    memory: Memory | None = None
    services: Mapping[str, Named] = field(default_factory=dict)
    budget: Budget | None = None
    run: str = ""


class Toolbox:
    """Runs tools by their specification. `settings` and `secrets` come from the configuration.

    It holds the services, which live as long as it does: close it at the end.
    """

    def __init__(self, config: AppConfig, catalogue: Catalogue, boxes: Boxes) -> None:
        self._config = config
        self._catalogue = catalogue
        self._boxes = boxes
        self._services = Services(config, catalogue)
        self._mcp = Servers(config, boxes)

    async def close(self) -> None:
        """Close what host tools share, and end the MCP servers."""
        await self._mcp.close()
        await self._services.close()

    async def settle(self, store: Store, ctx: RunContext) -> None:
        """Label what MCP servers have written into the workspace after their calls had ended, before it is read."""
        if not self._mcp.watches(ctx.session):
            return
        ctx.file_labels |= await store.labels(ctx.session.id)
        if late := await self._mcp.late(ctx.session, ctx.file_labels):
            await store.add_artifacts(ctx.session.id, None, "", late)
            ctx.file_labels |= {file.path: file.provenance for file in late}

    def seconds(self, spec: ToolSpec, wanted: float | None) -> float:
        """Return how long a call may take: the step's word, else the tool's, never more than a run."""
        return min(wanted or spec.timeout or self._config.limits.step_seconds, self._config.limits.seconds)

    async def call(self, call: Call) -> ExecutorResponse:
        """Run a tool. Every failure of the tool is a response, never an exception.

        Raises OverBudget when the call could cost more than may be spent; it is not made then.
        """
        spec = call.spec
        try:
            money = spec.price(self._config.plugins.get(spec.plugin, {}), call.args)
        except PluginError as error:
            return _failed(call.step_id, str(error))
        return await charged(
            lambda: self._traced(call), tool=spec.full_name, money=money, step_id=call.step_id, budget=call.budget
        )

    async def _traced(self, call: Call) -> ExecutorResponse:
        told: dict[str, str | bool] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.spec.full_name,
            "gen_ai.tool.type": "function",
            "dirigent.tool.host": call.spec.host,
        }
        with tracing.begin(f"execute_tool {call.spec.full_name}", told) as span:
            span.content("gen_ai.tool.call.arguments", lambda: _as_text(call.args))
            response = await self._called(call)
            tally.count("tool_calls", "host" if call.spec.host else "sandbox", response.status.value)
            span.content("gen_ai.tool.call.result", lambda: response.text)
            if response.error:
                span.fail(response.status.value, response.error)
            return response

    async def picture(self, session: Session, path: str) -> Picture:
        """Return a picture of the workspace as a model gets it, made small inside the walls. Raises ToolError."""
        box = self._config.sandbox
        job = Job(
            kind="tool",
            tool=ToolCall(LOOKING, "made_ready", {"path": path}, wants_context=False),
            limits=Limits(wall_s=LOOKING_SECONDS, cpu_s=box.cpu_seconds, memory_mb=box.memory_mb, disk_mb=box.disk_mb),
        )
        try:
            result = await self._boxes.run(session.id, session.workspace, job)
        except SandboxError as error:
            raise ToolError(error.message, hint=error.remedy) from None
        if result.failure is not None:
            raise ToolError(result.failure["message"], hint=result.failure.get("hint", ""))
        if not result.ok:
            raise ToolError(f"'{path}' could not be read as a picture.", hint="Send it as JPEG or PNG.")
        return Picture(base64.b64decode(result.value["data"]), int(result.value["width"]), int(result.value["height"]))

    async def _called(self, call: Call) -> ExecutorResponse:
        try:
            try:
                response = await self._where_it_belongs(call)
            except SandboxGone:  # as after a crash of our own: what may be repeated is
                if call.spec.once:
                    raise
                response = await self._where_it_belongs(call)
            return self._without_secrets(call.spec, response)
        except SandboxError as error:
            return _failed(call.step_id, error.message, error.remedy)

    async def _where_it_belongs(self, call: Call) -> ExecutorResponse:
        source = self._catalogue.source(call.spec)
        if source.startswith(SOURCE):
            asked = Asked(call.session, call.spec, call.args, call.step_id, call.seconds, call.report)
            return await self._mcp.call(source, asked)
        try:
            return await (self._on_host(call) if call.spec.host else self._inside(call))
        finally:
            await self._mcp.seen(call.session)

    async def _on_host(self, call: Call) -> ExecutorResponse:
        spec = call.spec
        ctx = HostContext(
            session_id=call.session.id,
            workdir=call.session.workspace,
            settings=self._config.plugins.get(spec.plugin, {}),
            secrets=self._secrets(spec),
            memory=call.memory,
            boxes=self._boxes,
            source=self._catalogue.source(spec),
            on_progress=call.report,
            plugin=spec.plugin,
            services=self._services,
            named=call.services,
            run=call.run,
            step=call.step_id,
        )
        response = await self._settled(call, ctx)
        return _without(self._services.secrets(), response) if ctx.asked else response

    async def _settled(self, call: Call, ctx: HostContext) -> ExecutorResponse:
        """Call a host tool and return what came of it, whatever that is."""
        spec = call.spec
        try:
            async with asyncio.timeout(call.seconds):
                value = await _invoke(spec, ctx, call.args)
            return _host_response(call.session, call.step_id, value, ctx.artifacts)
        except TimeoutError:
            said = f"{spec.name} took longer than {call.seconds:g} s."
            failed = _failed(call.step_id, said, status=ResponseStatus.TIMEOUT)
        except ToolFailure as failure:
            failed = _failed(call.step_id, failure.message, failure.hint)
        except Exception as error:
            ref = reference_id()
            logger.error("{} {} failed:\n{}", ref, spec.full_name, traceback.format_exc())
            failed = _failed(
                call.step_id, f"{spec.name} failed: {type(error).__name__}.", f"Reference {ref} in the log."
            )
        left = _handed_over(call.session, ctx.artifacts, call.step_id)
        return replace(failed, files=tuple(replace(file, deliver=False) for file in left))

    async def _inside(self, call: Call) -> ExecutorResponse:
        box = self._config.sandbox
        spec = call.spec
        source = self._catalogue.source(spec)
        job = Job(
            kind="tool",
            tool=ToolCall(source, spec.function_name, call.args, wants_context=spec.wants_context),
            net=spec.network,
            secrets=self._secrets(spec),
            data=spec.data,
            limits=Limits(wall_s=call.seconds, cpu_s=box.cpu_seconds, memory_mb=box.memory_mb, disk_mb=box.disk_mb),
            run=call.run,
            step=call.step_id,
        )
        result = await self._boxes.run(call.session.id, call.session.workspace, job, on_progress=call.report)
        return self._sandbox_response(call, result)

    def _sandbox_response(self, call: Call, result: JobResult) -> ExecutorResponse:
        changed = [c for c in result.changes if c.change != "deleted"]
        # What a failed step has written stays in the workspace, so it is known, with the label of what was read.
        created = {c.path for c in changed if c.change == "added"}
        left = tuple(_artifact(c.path, c.size, c.sha256, deliver=False, created=c.path in created) for c in changed)
        if result.failure is not None:
            failed = _failed(call.step_id, result.failure["message"], result.failure.get("hint", ""))
            return replace(failed, files=left)
        if result.status is JobStatus.TIMEOUT:
            said = f"{call.spec.name} took longer than {call.seconds:g} s and was stopped."
            return replace(_failed(call.step_id, said, status=ResponseStatus.TIMEOUT), files=left)
        if not result.ok:
            ended = _failed(call.step_id, self._ending(call.spec, result), "; ".join(result.warnings))
            return replace(ended, files=left)
        files = _handed_over(call.session, result.files, call.step_id)
        files = tuple(replace(file, created=file.path in created) for file in files)
        known = {file.path for file in files}
        deliver = not files and not call.spec.keeps_files
        made = [
            _artifact(c.path, c.size, c.sha256, deliver=deliver, created=c.path in created)
            for c in changed
            if c.path not in known
        ]
        return ExecutorResponse(
            call.step_id,
            ResponseStatus.PARTIAL if result.partial else ResponseStatus.OK,
            usage=_reported(result.cost),
            output=result.value,
            text=result.text or _as_text(result.value),
            files=(*files, *made),
        )

    def _ending(self, spec: ToolSpec, result: JobResult) -> str:
        box = self._config.sandbox
        ending = ENDINGS.get(result.status, "").format(memory=box.memory_mb, disk=box.disk_mb)
        said = ending or result.stderr.text[-400:] or f"Status {result.status}, code {result.code}."
        return f"{spec.name} ended early. {said}"

    def _without_secrets(self, spec: ToolSpec, response: ExecutorResponse) -> ExecutorResponse:
        """Hide the secrets that a tool was given in what it says: results go to the journal, the model and the chat."""
        return _without(self._secrets(spec).values(), response)

    def _secrets(self, spec: ToolSpec) -> dict[str, str]:
        known = self._config.secrets
        return {name: known[name].get_secret_value() for name in spec.secrets if name in known}


def _without(secrets: Iterable[str], response: ExecutorResponse) -> ExecutorResponse:
    given = [value for value in secrets if len(value) >= SHORTEST_SECRET]
    if not given:
        return response
    hide = Redactor(given)
    return replace(
        response,
        output=_with_texts(response.output, hide),
        text=hide(response.text),
        error=hide(response.error),
        hint=hide(response.hint),
    )


async def _invoke(spec: ToolSpec, ctx: HostContext, args: dict[str, Any]) -> Any:
    """Call a host tool; one that is not a coroutine function runs in a thread, so that it blocks nobody."""
    typed = spec.arguments(**args)
    values = {name: getattr(typed, name) for name in spec.arguments.model_fields}
    first = (ctx,) if spec.wants_context else ()
    if inspect.iscoroutinefunction(spec.function):
        return await spec.function(*first, **values)
    return await asyncio.to_thread(spec.function, *first, **values)


def _host_response(
    session: Session,
    step_id: str,
    value: Any,
    artifacts: list[tuple[str, str]],
) -> ExecutorResponse:
    output = value if isinstance(value, Output) else Output(value=value)
    found = plain(output.value)  # whatever is no JSON is the tool's failure, not the journal's
    text = output.text or _as_text(found)
    if len(text) > MOST_TEXT or (output.text and len(_as_text(found)) > MOST_TEXT):
        hint = "Have it write a file and hand that over."
        raise ToolFailure(f"The result has more than {MOST_TEXT:,} characters.", hint=hint)
    handed = [*artifacts, *((path, "") for path in output.files)]
    return ExecutorResponse(
        step_id,
        ResponseStatus.PARTIAL if output.partial else ResponseStatus.OK,
        output=found,
        text=text,
        files=_handed_over(session, handed, step_id),
        usage=_reported(output.cost),
    )


def _reported(cost: float | None) -> tuple[Usage, ...]:
    return (Usage(KIND, money=cost),) if cost is not None and 0 <= cost < math.inf else ()


def _handed_over(session: Session, files: Iterable[tuple[str, str]], step_id: str) -> tuple[Artifact, ...]:
    """Describe the files that a tool handed over; one that is not there (or is no regular file) is left out."""
    found: dict[str, Artifact] = {}
    for path, title in files:
        try:
            size, sha256 = fingerprint(session, path)
        except (OSError, SandboxError) as error:
            logger.warning("step {} handed over {!r}, which cannot be read: {}", step_id, path, error)
            continue
        found[path] = _artifact(path, size, sha256, title=title)
    return tuple(found.values())


def fingerprint(session: Session, path: str) -> tuple[int, str]:
    """Return size in bytes and SHA-256 (hex) of a workspace file. Raises SandboxError or OSError."""
    digest = hashlib.sha256()
    size = 0
    with Workspace(session.workspace) as workspace, workspace.open_read(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def _artifact(
    path: str, size: int, sha256: str, *, title: str = "", deliver: bool = True, created: bool = False
) -> Artifact:
    mime = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return Artifact(path, size, sha256, mime, title, deliver=deliver, created=created)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    import json

    return json.dumps(value, ensure_ascii=False, default=str)


def _with_texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _with_texts(part, change) for key, part in value.items()}
    return [_with_texts(part, change) for part in value] if isinstance(value, list) else value


def _failed(
    step_id: str,
    error: str,
    hint: str = "",
    *,
    status: ResponseStatus = ResponseStatus.ERROR,
) -> ExecutorResponse:
    return ExecutorResponse(step_id, status, error=error, hint=hint)
