'''The compact plan notation: one line a step, a few tokens each, checked as strictly as JSON.

::

    # Compare two laptops
    s1 search_web("laptop A price")
    s2 search_web("laptop B price")
    s3 ask("Which budget?", ["≤ 800 €", "No limit"])
    s4 llm("Compare {{ s1.text }} with {{ s2.text }} for {{ s3.output }}")
    s5 chart(file=s1.files[0], x="month") after s4 as "Draw the chart" > chart.png
    s6 task("Find reviews", tools=[fetch, python]) after s4 on_failure=continue timeout=60 retries=2
    end

Grammar (one step a line; a line may go on while a quote or bracket is open)::

    plan   = { "# " title | step } "end"            title once, before the steps; later "#" lines are comments
    step   = id name "(" [ arg { "," arg } ] ")" { clause }
    name   = "ask" | "llm" | "task" | tool           in quotes: always a tool, even one called ask
    arg    = value | name "=" value                  by position: in the order of the tool's parameters
    value  = string | number | true | false | null | [ … ] | { … } | reference     JSON or Python spelling
    reference = {{ s1.output.rows[0] }} | s1.output.rows[0]     within strings always with its braces
    string = "…" | '…' | """…"""                    JSON and Python escapes
    clause = "after" id { "," id }                   dependencies beyond those of its references
           | "as" string                             the step's title
           | ">" path { "," path }                   files that it promises to make
           | "on_failure=" ( continue | stop | replan ) | "timeout=" seconds | "retries=" n
           | "alone" [ "=" reason ]                  not beside other steps; "parallel=" reason explains the default
           | "note=" string                          the instruction of a tool or ask step

`ask(question, options)`, `llm(instruction, …)` and `task(instruction, tools, …)` take these by position or by name; an
argument of the same name is written with its name in quotes. `end` tells a finished plan from a stream that stopped.

A line `answer: text` instead of a plan is a direct answer that goes on to the end. Code fences, bullets and numbering
are passed over (`1. search("x")` is step s1), prose is reported. JSON is recognised by itself: see `json_notation.py`.
'''

from __future__ import annotations

import re
from collections.abc import Iterable

from agent.domain.plan import PlanStep
from agent.planning.json_notation import JsonReader, begins_json
from agent.planning.lines import HEAD, read_line, render_step
from agent.planning.reads import (
    MAX_LINE,
    AnswerText,
    End,
    Prose,
    Read,
    ReadStep,
    Refused,
    Signatures,
    Title,
    Unreadable,
    shortened,
)

__all__ = ["AnswerText", "End", "PlanReader", "Prose", "Read", "ReadStep", "Refused", "Title", "render"]

_RESERVED = {"ask", "llm", "task"}
_END = re.compile(r"\s*[`*]*(?:end|<END_OF_PLAN>)[`*.;]*\s*", re.IGNORECASE)
_FENCE = re.compile(r"\s*(?:```|~~~)")
_TITLE = re.compile(r"\s*#+\s*(.{0,300})", re.DOTALL)
_ANSWER = re.compile(r"\s*[*`]{0,3}answer[*`]{0,3}(?::[*`]{0,3}|(?=[ \t]+[\"']))[ \t]*", re.IGNORECASE)
_ANSWER_HEAD = 80
# A line that starts a new step even though the line before left a quote or bracket open.
_RESTART = re.compile(r"\s*(?:[-*•]\s+|\d+[.)]\s*)?[A-Za-z]{1,4}\d{1,6}(?:\s*[:=]\s*|[.)]?[ \t]+)[^\W\d][\w.-]*\(")
_USUAL_ID = re.compile(r"[A-Za-z]{1,4}[_-]?\d{1,6}")
_OUTSIDE = re.compile(r"\"\"\"|'''|[\"'()\[\]{}#]")
_INSIDE = {quote: re.compile(rf"\\.|{quote}", re.DOTALL) for quote in ('"', "'", '"""', "'''")}


def render(title: str, steps: Iterable[PlanStep]) -> str:
    """Return the plan in the compact notation, ending in `end`; PlanReader reads it back to the same plan."""
    head = [f"# {' '.join(title.split())}"] if title.strip() else []
    return "\n".join([*head, *(render_step(step) for step in steps), "end"])


class PlanReader:
    """Reads a plan while it is being written, in the compact notation or in JSON, whichever comes.

    `signatures` maps a tool to its parameter names, for arguments given by position. The time is linear in the text.
    """

    def __init__(self, signatures: Signatures | None = None) -> None:
        self._compact = CompactReader(signatures or {})
        self._json: JsonReader | None = None
        self._held = ""
        self._at_line_start = True

    def feed(self, text: str) -> list[Read]:
        """Take the next piece of the model's answer and return what became complete with it."""
        if self._json is not None:
            return self._json.feed(text)
        if self._compact.settled:
            return self._compact.feed(text)
        held, self._held = self._held + text, ""
        return self._feed_undecided(held)

    def _feed_undecided(self, text: str) -> list[Read]:
        reads: list[Read] = []
        at = 0
        while at < len(text):
            if self._at_line_start:
                verdict = begins_json(text[at : at + 400])
                if verdict is None and len(text) - at < 400:
                    self._held = text[at:]
                    return reads
                if verdict:
                    self._json = JsonReader()
                    return reads + self._json.feed(text[at:])
            if self._compact.settled:
                return reads + self._compact.feed(text[at:])
            line_end = text.find("\n", at) + 1
            self._at_line_start = line_end > 0
            piece = text[at:line_end] if line_end else text[at:]
            reads += self._compact.feed(piece)
            at += len(piece)
        return reads

    def close(self) -> list[Read]:
        """Return what is left at the end of the answer."""
        if self._json is not None:
            return self._json.close()
        return self._compact.feed(self._held) + self._compact.close()


class CompactReader:
    """Reads the compact notation. One line of text at a time; `settled` once it is surely no JSON."""

    def __init__(self, signatures: Signatures) -> None:
        self._signatures = signatures
        self._partial: list[str] = []
        self._size = 0
        self._lines: list[str] = []
        self._lines_size = 0
        self._nesting = _Nesting()
        self._skipping = False
        self._answer: _Answer | None = None
        self._ended = False
        self.settled = False

    def feed(self, text: str) -> list[Read]:
        reads: list[Read] = []
        pieces = text.split("\n")
        for number, piece in enumerate(pieces):
            if self._answer is not None:
                return reads + self._answer.feed("\n".join(pieces[number:]))
            if self._ended:
                return reads
            reads += self._feed_piece(piece, whole=number < len(pieces) - 1)
        return reads

    def _feed_piece(self, piece: str, *, whole: bool) -> list[Read]:
        self._partial.append(piece)
        self._size += len(piece)
        if self._size > MAX_LINE:
            return self._too_long(whole=whole)
        if not whole and (self._lines or self.settled or self._size > _ANSWER_HEAD):
            return []
        return self._at_piece_end(whole=whole)

    def _at_piece_end(self, *, whole: bool) -> list[Read]:
        line = "".join(self._partial)
        match = None if self._lines or self.settled else _ANSWER.match(line)
        if match and (whole or match.end() < len(line)):
            self._answer, self.settled = _Answer(), True
            self._partial, self._size = [], 0
            return self._answer.feed(line[match.end() :] + "\n" * whole)
        if not whole:
            return []
        return self._finish_line()

    def _finish_line(self) -> list[Read]:
        line = "".join(self._partial).rstrip("\r")
        self._partial, self._size = [], 0
        if self._skipping:
            self._skipping = False
            return []
        return self._line(line)

    def _too_long(self, *, whole: bool) -> list[Read]:
        line = "".join(self._partial)[:400]
        self._partial, self._size = [], 0
        first = not self._skipping
        self._skipping = not whole
        opened, self._lines = self._lines, []
        if not first:
            return []
        return [Refused(shortened(opened[0] if opened else line), f"the line is longer than {MAX_LINE} characters")]

    def _line(self, line: str) -> list[Read]:
        if not self._lines:
            return self._fresh_line(line)
        if not self._nesting.in_long_text and _RESTART.match(line):
            return [self._unclosed(), *self._fresh_line(line)]
        return self._continue(line)

    def _fresh_line(self, line: str) -> list[Read]:
        if not line.strip() or _FENCE.match(line):
            return []
        if _END.fullmatch(line):
            self._ended = self.settled = True
            return [End()]
        if title := _TITLE.fullmatch(line):
            return self._titled(title[1].strip())
        if not HEAD.match(line):
            return [Prose(line.strip())]
        self._nesting, self._lines_size = _Nesting(), 0
        return self._continue(line)

    def _titled(self, title: str) -> list[Read]:
        first, self.settled = not self.settled, True
        return [Title(title)] if first and title else []

    def _continue(self, line: str) -> list[Read]:
        self._lines.append(line)
        self._lines_size += len(line) + 1
        if self._lines_size > MAX_LINE:
            first, self._lines = self._lines[0], []
            return [Refused(shortened(first), f"the step is longer than {MAX_LINE} characters")]
        if self._nesting.stays_open_after(line):
            return []
        text, self._lines = "\n".join(self._lines), []
        return [self._step(text)]

    def _step(self, text: str) -> Read:
        try:
            step = read_line(text, self._signatures)
        except Unreadable as error:
            return self._refused(text, str(error))
        self.settled = True
        return ReadStep(step, text)

    def _unclosed(self) -> Read:
        text, self._lines = "\n".join(self._lines), []
        return self._refused(text, f"{self._nesting.open_thing} is never closed")

    def _refused(self, text: str, reason: str) -> Read:
        match = HEAD.match(text)
        step_id = (match["id"] or "") if match else ""
        meant = match is not None and (match["name"] in self._signatures or match["name"] in _RESERVED)
        if not meant and not _USUAL_ID.fullmatch(step_id):
            return Prose(text)
        self.settled = True
        return Refused(shortened(text), reason, step_id)

    def close(self) -> list[Read]:
        """Read a last line without a line end; a step that is still open is refused."""
        reads = self._feed_piece("", whole=True) if self._partial and not self._ended else []
        reads += self._answer.close() if self._answer is not None else []
        return [*reads, self._unclosed()] if self._lines else reads


class _Nesting:
    """Follows quotes and brackets from line to line."""

    def __init__(self) -> None:
        self._quote = ""
        self._depth = 0

    @property
    def in_long_text(self) -> bool:
        """True inside three quotes, where any line belongs to the text."""
        return len(self._quote) == 3

    @property
    def open_thing(self) -> str:
        """What is open, in words."""
        return f"the quote {self._quote}" if self._quote else "a bracket"

    def stays_open_after(self, line: str) -> bool:
        """Follow one line; return True when a quote or bracket is open at its end."""
        at = 0
        while match := (_INSIDE[self._quote] if self._quote else _OUTSIDE).search(line, at):
            at = match.end()
            if not self._follow(match[0]):
                break
        return bool(self._quote) or self._depth > 0

    def _follow(self, mark: str) -> bool:
        if self._quote:
            self._quote = "" if mark == self._quote else self._quote
        elif mark in _INSIDE:
            self._quote = mark
        elif mark == "#":
            return self._depth > 0
        else:
            self._depth += 1 if mark in "([{" else -1
        return True


class _Answer:
    """A direct answer: passed on as it comes, without its quotes and without an `end` after it."""

    def __init__(self) -> None:
        self._begun = False
        self._quote = ""
        self._held = ""

    def feed(self, text: str) -> list[Read]:
        text = self._held + text
        self._held = ""
        if not self._begun:
            text = text.lstrip()
            if not text:
                return []
            self._begun = True
            self._quote = text[0] if text[0] in "\"'" else ""
            text = text[len(self._quote) :]
        return self._passed(text)

    def _passed(self, text: str) -> list[Read]:
        # What might turn out to be `end`, a fence or the closing quote is kept back until more is there.
        keep = re.search(r"[\"'\s]*(?:\n[\s`]*(?:e|en|end)?[.`\s]*)?\Z", text)
        cut = keep.start() if keep and len(text) - keep.start() < 200 else len(text)
        self._held = text[cut:]
        return [AnswerText(text[:cut])] if cut else []

    def close(self) -> list[Read]:
        rest = re.sub(r"\n[\s`]*(?:end[.]?)?[`\s]*\Z", "", self._held, flags=re.IGNORECASE).rstrip()
        if self._quote and rest.endswith(self._quote):
            rest = rest[:-1]
        return [AnswerText(rest)] if rest else []
