"""Classification by rules: words and patterns with weights for each label. Runs inside the sandbox.

A label's weight w is the sum of the weights of its rules that the text fulfils, each counted once, and its score is
w / W · (1 − 2^−w), where W is the sum over all labels: the share of what was found, lowered when little was found (one
plain word makes 0.5 at most, two make 0.75).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from plugins.api import ToolFailure

MAX_FILE = 1_000_000
MAX_RULES = 5_000
MAX_TEXT = 200_000
MAX_WEIGHT = 100.0
KEYS = {"keyword", "regex", "weight"}

Matcher = Callable[[str], bool]
Rule = tuple[Matcher, float, str]  # its weight, and how it is written


def apply_rules(text: str, labels: list[str], rules: dict[str, Any], rules_file: str) -> dict[str, Any]:
    """Return `{"scores": {label: score}, "default": label of the file or "", "rules": {label: its strongest hit}}`.

    A label without rules is its own word.

    Raises ToolFailure for rules that cannot be read, with the label and the rule.
    """
    read, default = _from_file(rules_file) if rules_file else ({}, "")
    every = {**read, **rules}
    known = labels or list(every)
    if not known:
        raise ToolFailure("There are no labels to choose from.", hint="Give labels, rules or a rules file.")
    compiled = {label: _compiled(label, every.get(label, [label])) for label in known}
    if sum(map(len, compiled.values())) > MAX_RULES:
        raise ToolFailure(f"There are more than {MAX_RULES:,} rules.", hint="Merge keywords into patterns.")
    plain = unicodedata.normalize("NFKC", text[:MAX_TEXT])
    hits = {label: [hit for hit in rules_of if hit[0](plain)] for label, rules_of in compiled.items()}
    weights = {label: max(0.0, sum(weight for _, weight, _ in found)) for label, found in hits.items()}
    strongest = {label: max(found, key=lambda hit: hit[1])[2] for label, found in hits.items() if found}
    return {"scores": scored(weights), "default": default, "rules": strongest}


def scored(weights: Mapping[str, float]) -> dict[str, float]:
    """Return each label's score in [0, 1] from the weights found, highest first."""
    total = sum(weights.values())
    scores = {label: round(w / total * (1 - 2**-w), 4) if w else 0.0 for label, w in weights.items()}
    return dict(sorted(scores.items(), key=lambda pair: -pair[1]))


def _compiled(label: str, rules: Any) -> list[Rule]:
    if not isinstance(rules, list):
        raise ToolFailure(f"The rules of {label!r} are no list.", hint='Write them as ["invoice", "refund"].')
    return [_rule(label, rule) for rule in rules]


def _rule(label: str, rule: Any) -> Rule:
    entry = {"keyword": rule} if isinstance(rule, str) else rule
    odd = f"The rule {str(rule)[:80]!r} of {label!r}"
    if not isinstance(entry, dict) or set(entry) - KEYS or ("keyword" in entry) == ("regex" in entry):
        hint = "A rule is a word, {keyword: word, weight: 2} or {regex: pattern, weight: 2}."
        raise ToolFailure(f"{odd} can't be read.", hint=hint)
    weight = entry.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < abs(weight) <= MAX_WEIGHT:
        hint = f"It is a number up to {MAX_WEIGHT:g}; a negative one speaks against the label."
        raise ToolFailure(f"{odd} has the weight {weight!r}.", hint=hint)
    if "keyword" in entry:
        return _keyword(odd, entry["keyword"]), float(weight), str(entry["keyword"])
    try:
        pattern = re.compile(str(entry["regex"]), re.IGNORECASE)
    except re.error as problem:
        raise ToolFailure(f"{odd} is no regular expression: {problem}.", hint="Correct the pattern.") from problem
    return lambda text: pattern.search(text) is not None, float(weight), str(entry["regex"])


def _keyword(odd: str, keyword: Any) -> Matcher:
    """Find whole words in any case; `invoice*` also what begins so. Scripts without blanks have no whole words."""
    plain = " ".join(unicodedata.normalize("NFKC", str(keyword)).split())
    word, begins = plain.rstrip("*").strip(), plain.endswith("*")
    if not word:
        raise ToolFailure(f"{odd} is empty.", hint="Give a word.")
    each = r"\s+".join(map(re.escape, word.split(" ")))
    wide = any(unicodedata.east_asian_width(char) in "WF" for char in word)
    pattern = re.compile(each if wide else rf"(?<!\w){each}" + ("" if begins else r"(?!\w)"), re.IGNORECASE)
    return lambda text: pattern.search(text) is not None


def _from_file(name: str) -> tuple[dict[str, Any], str]:
    """Read `{labels: {label: [rules]}, default: label}`, or the labels alone, from YAML or JSON."""
    path = Path(name)
    if not path.is_file():
        raise ToolFailure(f"There is no rules file {name!r} in the workspace.", hint="list_files shows what is there.")
    if path.stat().st_size > MAX_FILE:
        raise ToolFailure(f"{name} has more than {MAX_FILE // 1_000_000} MB.", hint="Rules are a small file.")
    found = _parsed(name, path.read_bytes())
    labels = found.get("labels", found) if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(labels, dict) or not labels:
        raise ToolFailure(
            f"{name} holds no rules.", hint="Write labels, each with a list: `Billing: [invoice, refund]`."
        )
    default = found.get("default", "") if labels is not found else ""
    return {str(label): rules for label, rules in labels.items()}, str(default or "")


def _parsed(name: str, data: bytes) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        if name.lower().endswith(".json"):
            return json.loads(data)
        return YAML(typ="safe", pure=True).load(data.decode("utf-8-sig"))
    except MarkedYAMLError as problem:
        mark = problem.problem_mark
        where = f" (line {mark.line + 1})" if mark else ""
        raise ToolFailure(f"{name} is no YAML: {problem.problem}{where}.", hint="Correct that line.") from problem
    except json.JSONDecodeError as problem:
        raise ToolFailure(f"{name} is no JSON: {problem.msg} (line {problem.lineno}).", hint="Correct it.") from problem
    except (ValueError, YAMLError, RecursionError) as problem:
        raise ToolFailure(f"{name} can't be read as rules.", hint="Write it as YAML or JSON in UTF-8.") from problem
