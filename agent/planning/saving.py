# ruff: noqa: SIM905 - lines of words read better than lists of quotes
"""A finished run as a pipeline: its steps in order, its references as templates, what the person named as inputs.

Nothing is asked of a model here: the same run always gives the same YAML.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.domain.execution import ResponseStatus
from agent.domain.inputs import InputSpec, InputType
from agent.domain.offers import WORKING
from agent.domain.plan import OUTPUTS, OnFailure, PlanStep, StepType
from agent.domain.provenance import Provenance
from agent.domain.references import REFERENCE, find_references, resolve, whole_reference
from agent.domain.states import Status
from agent.errors import NotFound, PlanError, ToolArguments
from agent.planning.lifting import Lifting, literals, without
from agent.planning.pipeline import ASK, LLM, STEP_NAME, TASK
from agent.planning.slots import slots_of

if TYPE_CHECKING:
    from agent.domain.run import Run, StepRecord
    from plugins.api import ToolSpec

DONE = frozenset({ResponseStatus.OK.value, ResponseStatus.PARTIAL.value, ""})
OPENERS = re.compile(r"\{[{%#]|\{\Z|\r")
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
OPENING_WORDS = frozenset(
    "a an the please could would can you i me my we us give make draw show tell send chart plot get find what which "
    "whats s is are of bitte zeige zeichne mach mir ein eine der die das montre fais moi le la les un une".split()
)
NAME_WORDS = 5
NAME_CHARS = 40
TRAILING = frozenset("from in of to for with at on by and as aus von in nach de du avec dans für und et".split())
LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "o", "æ": "ae", "ł": "l"})
WRITE_ANSWER = (
    "Write the answer to the request from the results alone, in its language. Say plainly what is missing.\n\nRequest: "
)
Find = Callable[[str], "ToolSpec"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A pipeline that a run would become. `steps` are as YAML has them; `effects` change something outside.

    `doubts` names the untrusted sources that the planner had read when it chose steps: they are then not the person's.
    """

    name: str
    description: str
    inputs: dict[str, InputSpec]
    steps: list[dict[str, Any]]
    outputs: dict[str, Any] = field(default_factory=dict)
    effects: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    ref: str = ""

    @property
    def takes(self) -> str:
        """The inputs in words: `file (sales.csv), year (2024)`."""
        shown = [f"{name} ({_shown(spec.default)})" for name, spec in self.inputs.items()]
        return ", ".join(shown) or "nothing"

    def yaml(self, name: str = "") -> str:
        """Return the text of the file."""
        return written(self, name or self.name)


def can_be_saved(run: Run, records: Sequence[StepRecord]) -> bool:
    """Say whether a run is worth a pipeline: it did something, and was none itself."""
    return not run.is_pipeline and any(record.step.step_type in WORKING for record in records if _is_done(record))


def draft_of(
    run: Run,
    records: Sequence[StepRecord],
    find: Find,
    *,
    fixed: Collection[str] = (),
    composed: bool = False,
) -> Draft:
    """Return the pipeline that a run would become.

    `find` returns a tool's declaration; `fixed` names inputs that are to stay as they are. `composed` says that a model
    wrote the answer: then a last step writes it. Raises NotFound when there is nothing to save, PlanError when a step
    uses the result of one that failed.
    """
    if not can_be_saved(run, records):
        raise NotFound(
            "There is nothing to save: this request needed no steps, or was a pipeline.",
            hint="Ask for something that takes a tool first.",
        )
    done = [record for record in records if _is_done(record)]
    writer = _Writer(run, done, find, fixed)
    steps = [writer.step(record.step) for record in done]
    outputs = writer.answer(steps) if composed else {}
    inputs = writer.lifting.inputs
    return Draft(
        name=name_for(run.title or run.request, next((record.step.tool or "" for record in done), "")),
        description=" ".join((run.title or run.request).split())[:200],
        inputs=dict(sorted(inputs.items(), key=lambda item: item[1].type is not InputType.FILE)),
        steps=[_untitled(step, inputs) for step in steps],
        outputs=outputs,
        effects=tuple(dict.fromkeys(writer.effects)),
        doubts=Provenance.union(record.control for record in done).untrusted_names or run.provenance.untrusted_names,
        ref=run.ref,
    )


def name_for(text: str, otherwise: str = "") -> str:
    """Return a name for a pipeline from what was asked: `revenue-by-month`; `otherwise` when its words give none."""
    for literal in literals(text):
        if literal.kind != "quoted":
            text = text.replace(literal.text, " ")
    first = re.split(r"[,;:.!?\n]|\b(?:and|und|et|then|dann|puis)\b", text.strip(), maxsplit=1)[0]
    words = _ascii(first or text).split()
    while len(words) > 1 and words[0] in OPENING_WORDS:
        words = words[1:]
    words = words[:NAME_WORDS]
    while len(words) > 1 and words[-1] in TRAILING | OPENING_WORDS:
        words = words[:-1]
    said = "" if set(words) <= TRAILING | OPENING_WORDS else "-".join(words)[:NAME_CHARS].strip("-")
    return said or _ascii(otherwise).strip().replace(" ", "-") or "saved"


def as_name(text: str) -> str:
    """Return what a person typed as a name that a pipeline may have, as far as that goes: `Monthly-revenue`."""
    plain = unicodedata.normalize("NFKD", text.translate(LETTERS)).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-_")


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.lower().translate(LETTERS)).encode("ascii", "ignore").decode()
    plain = plain.replace("'", "")
    return re.sub(r"[^a-z0-9]+", " ", plain)


def _is_done(record: StepRecord) -> bool:
    return record.status is Status.COMPLETED and record.response_status in DONE


class _Writer:
    """Turns steps of a plan into steps of a pipeline."""

    def __init__(self, run: Run, done: Sequence[StepRecord], find: Find, fixed: Collection[str]) -> None:
        self._find = find
        self._request = run.request
        self._results = {record.step.id: record for record in done}
        self._names = _step_names([record.step for record in done])
        made = {str(file.get("path", "")) for record in done for file in record.files}
        made |= {name for record in done for name in self._made_by(record.step)}
        promised = {name for record in done for name in record.step.outputs}
        self.lifting = Lifting(run.request, made=made, fixed=fixed, kept=promised)
        self.effects: list[str] = []

    def _made_by(self, step: PlanStep) -> set[str]:
        """Return what looks like the names of files that a step writes: texts of parameters that take no file."""
        kinds = self._kinds(step)
        texts = {str(v) for name, v in step.args.items() if isinstance(v, str) and kinds.get(name) != "file"}
        return {text for text in texts if [one.kind for one in literals(text)] == ["file"]}

    def _kinds(self, step: PlanStep) -> dict[str, str]:
        if step.step_type is not StepType.TOOL or step.tool is None:
            return {}
        return {name: slot.kind for name, slot in slots_of(self._find(step.tool)).items()}

    def step(self, step: PlanStep) -> dict[str, Any]:
        made: dict[str, Any] = {"id": self._names[step.id], **self._use(step)}
        if step.title:
            made = {"id": made.pop("id"), "use": made.pop("use"), "title": step.title, **made}
        after = [self._names[name] for name in step.depends_on if name in self._names]
        mentioned = {
            self._names.get(name, "") for name in find_references([step.args, step.instruction, step.question])
        }
        if explicit := [name for name in after if name not in mentioned]:
            made["depends_on"] = explicit
        if step.on_failure is OnFailure.CONTINUE:
            made["on_failure"] = "continue"
        if step.timeout is not None:
            made["timeout"] = step.timeout
        if step.retries:
            made["retry"] = step.retries
        if step.outputs:
            made["outputs"] = list(step.outputs)
        return made

    def _use(self, step: PlanStep) -> dict[str, Any]:
        if step.step_type is StepType.ASK:
            options = {"options": [self._value(text) for text in step.options]} if step.options else {}
            return {"use": ASK, "args": {"question": self._value(step.question), **options}}
        kinds = self._kinds(step)
        args = {name: self._argument(value, name, kinds.get(name, "text")) for name, value in step.args.items()}
        if step.step_type is StepType.TOOL:
            assert step.tool is not None
            if self._find(step.tool).effect == "effect":
                self.effects.append(step.tool)
            return {"use": step.tool, **({"args": args} if args else {})}
        own = {"prompt": self._value(step.instruction)}
        if step.step_type is StepType.TASK and step.allowed_tools:
            own["tools"] = list(step.allowed_tools)
        more = {name if name not in {"prompt", "tools"} else f"{name}_": value for name, value in args.items()}
        return {"use": TASK if step.step_type is StepType.TASK else LLM, "args": {**own, **more}}

    def answer(self, steps: list[dict[str, Any]]) -> dict[str, Any]:
        """Add the step that writes the answer, as a model did in the run; return the pipeline's outputs."""
        needed = {name for record in self._results.values() for name in record.step.depends_on}
        ends = [record.step for name, record in self._results.items() if name not in needed]
        if len(ends) == 1 and ends[0].step_type is StepType.LLM and not ends[0].outputs:
            return {"answer": f"{{{{ steps.{self._names[ends[0].id]}.text }}}}"}
        name = next(n for n in ("answer", "the_answer", "final_answer") if n not in self._names.values())
        material = {
            f"result_of_{self._names[one]}": f"{{{{ steps.{self._names[one]}.text }}}}" for one in self._results
        }
        prompt = self._value(WRITE_ANSWER + self._request)
        steps.append({"id": name, "use": LLM, "title": "Write the answer", "args": {"prompt": prompt, **material}})
        return {"answer": f"{{{{ steps.{name}.text }}}}"}

    # --- values -------------------------------------------------------------------------------------------------
    def _argument(self, value: Any, parameter: str, kind: str) -> Any:
        name = self.lifting.whole(value, parameter, kind)
        if name:
            return f"{{{{ inputs.{name} }}}}"
        if isinstance(value, list):
            return [self._argument(part, parameter, kind) for part in value]
        return self._value(value)

    def _value(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self._value(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._value(part) for part in value]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        """Return a text as a template, where it has to be one."""
        if whole_reference(text):
            return self._reference(text.strip(), alone=True)
        made: list[tuple[str, str]] = []
        at = 0
        for match in REFERENCE.finditer(text):
            made += [*self.lifting.within(text[at : match.start()]), ("reference", match[0])]
            at = match.end()
        made += self.lifting.within(text[at:])
        if all(kind == "text" for kind, _ in made) and "{{" not in text and "{%" not in text:
            return text
        return "".join(self._piece(kind, part) for kind, part in made)

    def _piece(self, kind: str, part: str) -> str:
        if kind == "input":
            return f"{{{{ inputs.{part} }}}}"
        if kind == "reference":
            return self._reference(part, alone=False)
        return OPENERS.sub(lambda found: "{{ " + repr(found[0]) + " }}", part)

    def _reference(self, source: str, *, alone: bool) -> str:
        """Return a reference as a template; in longer text, what is no text is written as JSON."""
        found = whole_reference(source)
        assert found is not None
        if found.step not in self._names:
            said = f"A step uses the result of '{found.step}', which did not succeed."
            raise PlanError([said], hint="Ask again; a run in which every step succeeds can be saved.")
        path = "".join(_access(key) for key in found.path)
        as_json = "" if alone or self._is_text(source) else " | tojson"
        return f"{{{{ steps.{self._names[found.step]}.{found.root}{path}{as_json} }}}}"

    def _is_text(self, source: str) -> bool:
        try:
            return isinstance(resolve(source, self._results)[0], str)
        except ToolArguments:
            return True


def _step_names(steps: Sequence[PlanStep]) -> dict[str, str]:
    """Return a name for every step that a pipeline may use."""
    names: dict[str, str] = {}
    for step in steps:
        plain = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", step.id)).strip("_")[:26] or "s"
        base = plain if STEP_NAME.match(plain) and plain != OUTPUTS else f"s_{plain}"
        tries = (base, *(f"{base}_{number}" for number in range(2, 1_000)))
        names[step.id] = next(name for name in tries if name not in names.values())
    return names


def _access(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if PLAIN.match(key) and key not in {"get", "keys", "values", "items"} else f"[{key!r}]"


def _untitled(step: dict[str, Any], inputs: Mapping[str, InputSpec]) -> dict[str, Any]:
    """Titles are no templates: what may change with an input is named after it."""
    return {**step, "title": without(step["title"], inputs)} if step.get("title") else step


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= 40 else f"{text[:39]}…"


# --- the file -----------------------------------------------------------------------------------------------------
def written(draft: Draft, name: str) -> str:
    """Return a draft as YAML, with comments that say where it comes from and how it is run."""
    inputs = {
        key: {"type": spec.type.value, "default": spec.default}
        for key, spec in draft.inputs.items()
        if spec.type is not InputType.CHOICE
    }
    given = " ".join(f"{key}=…" for key in inputs)
    head = [f"# Saved from the run {draft.ref} in a chat.", f"# Run it again: /run {name} {given}".rstrip()]
    parts: list[tuple[str, dict[str, Any]]] = [("", {"name": name, "description": draft.description})]
    if inputs:
        parts.append(("# What was named in the request; each has the value that it had.", {"inputs": inputs}))
    parts.append(("# What is done. Steps that do not need each other run at the same time.", {"steps": draft.steps}))
    if draft.outputs:
        parts.append(("# What comes out.", {"outputs": draft.outputs}))
    return "\n".join([*head, *(_part(comment, data) for comment, data in parts)])


def _part(comment: str, data: dict[str, Any]) -> str:
    text = _dumped(data)
    return f"{comment}\n{text}" if comment else text


def _dumped(data: dict[str, Any]) -> str:
    import io

    from ruamel.yaml import YAML
    from ruamel.yaml.representer import RoundTripRepresenter

    class Blocks(RoundTripRepresenter):
        """Texts of several lines stand as blocks."""

    def text(representer: RoundTripRepresenter, value: str) -> Any:
        odd = re.search(r"[^\x20-\x7e\n\xa0-\u2027\u202a-\ud7ff]", value)
        block = "\n" in value and not odd and not re.search(r"[^\S\n]\n|\n\Z|\A\s", value)
        return representer.represent_scalar(
            "tag:yaml.org,2002:str", value, style="|" if block else '"' if odd else None
        )

    Blocks.add_representer(str, text)
    writer = YAML()
    writer.Representer = Blocks
    writer.default_flow_style = False
    writer.width = 1_000_000  # folding is where writers and readers disagree
    writer.allow_unicode = True
    writer.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    writer.dump(data, out)
    return out.getvalue().rstrip("\n") + "\n"
