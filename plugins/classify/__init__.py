"""Put texts into classes: by rules of words and patterns, or with a local Hugging Face model.

`clean_text` first: what somebody wrote, without quoted replies, signature and markup. A model is a folder that the
owner names (`[plugins.classify] model = "/srv/models/tickets"`), and needs the extra `classify` (transformers, torch);
rules need nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from plugins.api import Context, File, Output, Plugin, ServiceContext, ServiceName, ToolFailure, service, tool
from plugins.classify.cleaning import cleaned
from plugins.classify.model import Classifier
from plugins.classify.rules import apply_rules

__all__ = ["apply_rules"]  # found here by name, inside the sandbox

plugin = Plugin(
    summary="Classify texts by rules or with a local model.",
    settings={
        "model": "Folder of a Hugging Face text classification model, or a folder of such folders.",
    },
)

Method = Literal["auto", "rules", "model"]


@service(settings=["model"])
async def classifier(ctx: ServiceContext) -> AsyncIterator[Classifier]:
    """The owner's models for classifying texts, each loaded once and kept."""
    models = Classifier(ctx.settings.get("model", ""))
    try:
        yield models
    finally:
        models.close()


@tool(
    effect="pure",
    produces=("text",),
    examples=("clean the message {text}", "clean up the mail {text}", "strip quotes and signature from {text}"),
)
def clean_text(text: str) -> str:
    """Return what the writer of a message wrote: without quoted replies, signature, HTML and invisible characters."""
    return cleaned(text)


# On the host only because the model is there; rules, whose patterns may be costly, are applied inside the sandbox.
@tool(
    host=True,
    effect="pure",
    timeout=300,
    produces=("text",),
    examples=(
        "classify {text} with {rules_file}",
        "classify {text} by the rules in {rules_file}",
        "klassifiziere {text} mit {rules_file}",
    ),
)
async def classify(
    ctx: Context,
    text: str,
    labels: list[str] | None = None,
    method: Method = "auto",
    *,
    rules: dict[str, list[Any]] | None = None,
    rules_file: Annotated[str, File(".yaml", ".yml", ".json")] = "",
    threshold: float = 0.0,
    default: str = "",
    model: str = "",
    service: Annotated[str, ServiceName("classifier")] = "",
) -> Output:
    """Choose the label that fits a text best; return label, score, best, scores of all labels, method and rule.

    Rules are words or patterns with weights, `{"Billing": ["invoice*", {"regex": "IBAN", "weight": 2}]}`, here or in a
    file. Below the threshold (0 to 1), or when nothing fits, the label is the default. `model` names a folder within
    the owner's; auto takes the model when one is set and no rules are given.
    """
    chosen = _labels(labels)
    if not 0 <= threshold <= 1:
        raise ToolFailure(f"The threshold is {threshold!r}.", hint="It is a number from 0 to 1.")
    ruled = bool(rules or rules_file)
    known = ctx.settings.get("model", "") or service
    fallback, rule = default, ""
    if method == "model" or (method == "auto" and not ruled and (model or known)):
        ctx.progress("asking the model")
        models: Classifier = await ctx.service(service or "classifier")
        scores, used = _of_labels(await models.scores(text, model), chosen), "model"
    else:
        found = await ctx.inside(apply_rules, text=text, labels=chosen, rules=rules or {}, rules_file=rules_file)
        scores, used = dict(found["scores"]), "rules"
        rule = str(found["rules"].get(max(scores, key=lambda label: scores[label]), ""))
        fallback = default or str(found["default"])
    return _result(scores, used, threshold, fallback, rule)


def _of_labels(scores: dict[str, float], labels: list[str]) -> dict[str, float]:
    if not labels:
        return scores
    wanted = {label.casefold(): label for label in labels}
    found = {wanted[label.casefold()]: score for label, score in scores.items() if label.casefold() in wanted}
    missing = [label for label in labels if label not in found]
    if missing:
        raise ToolFailure(f"The model does not know the label {missing[0]!r}.", hint=f"It knows {', '.join(scores)}.")
    return found


def _result(scores: dict[str, float], method: str, threshold: float, default: str, rule: str) -> Output:
    best = max(scores, key=lambda label: scores[label])
    score = scores[best]
    sure = score > 0 and score >= threshold
    label = best if sure else default
    value = {"label": label, "score": score, "best": best if score > 0 else "", "scores": scores, "method": method}
    value |= {"rule": rule} if rule else {}
    text = f"{label} ({score:.2f}, by {method})"
    if not sure:
        text = f"{label or 'No label'}: the best, {best}, has only {score:.2f} (by {method})" if score else label
        text = text or f"Nothing in the text points to one of {', '.join(scores)} (by {method})"
    return Output(value, text)


def _labels(labels: list[str] | None) -> list[str]:
    found = list(dict.fromkeys(label.strip() for label in labels or () if label.strip()))
    if labels and not found:
        raise ToolFailure("Every label is empty.", hint="Give the names to choose from.")
    return found
