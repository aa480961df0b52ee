"""Classification by a model of the owner's: a local Hugging Face folder, on this machine's processor.

Nothing is downloaded, no code that comes with a model is run, and weights are read as safetensors only, because the
older format can carry programs. A model is loaded once and kept; one text at a time goes through it.
"""

from __future__ import annotations

import functools
import importlib
import threading
from pathlib import Path
from typing import Any

from plugins.api import ToolFailure

INSTALL = "Install the extra `classify`, or by hand: pip install transformers torch."
TOKENS = 512
KEPT = 4
MAX_CHARS = 50_000

_one_at_a_time = threading.Lock()


def scores_of(text: str, folder: Path) -> dict[str, float]:
    """Return the score in [0, 1] of each of the model's labels, highest first. Takes seconds when first called.

    Raises ToolFailure when the libraries or the model are missing, or do not fit each other.
    """
    stamp = _checked(folder)
    with _one_at_a_time:
        pipe, tokens = _loaded(str(folder), stamp)
        found = pipe(text[:MAX_CHARS] or " ", top_k=None, truncation=True, max_length=tokens)
    pairs = sorted(((str(each["label"]), float(each["score"])) for each in found), key=lambda pair: -pair[1])
    return {label: round(score, 4) for label, score in pairs}


def _checked(folder: Path) -> int:
    """Return when the model was last written, in nanoseconds: a new one in its place is loaded anew."""
    config = folder / "config.json"
    if not config.is_file():
        hint = "Set [plugins.classify] model to a folder with config.json, tokenizer and model.safetensors."
        raise ToolFailure(f"There is no model in {str(folder)!r}.", hint=hint)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        hint = "Save it with model.save_pretrained(folder), which writes that format."
        raise ToolFailure(f"The model in {str(folder)!r} has no weights as safetensors.", hint=hint)
    return max(path.stat().st_mtime_ns for path in (config, *weights))


@functools.lru_cache(maxsize=KEPT)
def _loaded(folder: str, _stamp: int) -> tuple[Any, int]:
    try:
        transformers = importlib.import_module("transformers")
        importlib.import_module("torch")
    except ImportError as problem:
        said = f"Classifying with a model needs {problem.name or 'transformers'}, which is not installed."
        raise ToolFailure(said, hint=INSTALL) from problem
    # Bars and hints on the standard error would run across the chat in a terminal.
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True, **local)
        pipe = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as problem:
        reason = str(problem).strip().split("\n", maxsplit=1)[0][:200]
        hint = "It must be a text classification model (AutoModelForSequenceClassification) with its tokenizer."
        raise ToolFailure(f"The model in {folder!r} can't be loaded: {reason}", hint=hint) from problem
    return pipe, _most_tokens(tokenizer, model)


def _most_tokens(tokenizer: Any, model: Any) -> int:
    """Return how many tokens the model reads; a tokenizer that knows no limit says an absurdly large number."""
    said = int(min(getattr(tokenizer, "model_max_length", TOKENS) or TOKENS, 10**6))
    if said < 10**6:
        return said
    places = getattr(model.config, "max_position_embeddings", None)
    return max(2, int(places) - 2) if places else TOKENS  # some models keep two places for themselves
