"""Classification by a model of the owner's: a local Hugging Face folder, on this machine's processor.

Nothing is downloaded, no code that comes with a model is run, and weights are read as safetensors only, because the
older format can carry programs. A model is loaded once and kept; one text at a time goes through it.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
from pathlib import Path
from typing import Any

from plugins.api import ToolFailure

INSTALL = "Install the extra `classify`, or by hand: pip install transformers torch."
TOKENS = 512
KEPT = 4
MAX_CHARS = 50_000


class Classifier:
    """The models of the owner's folder, each loaded once and kept. One text at a time goes through them."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._kept: dict[tuple[str, int], tuple[Any, int]] = {}
        self._one_at_a_time = threading.Lock()

    async def scores(self, text: str, name: str = "") -> dict[str, float]:
        """Return the score in [0, 1] of each label of a model in the owner's folder, highest first.

        Takes seconds when a model is first asked. Raises ToolFailure when the libraries or the model are missing, or do
        not fit each other.
        """
        return await asyncio.to_thread(self._scores, text, _folder(self._home, name))

    def _scores(self, text: str, folder: Path) -> dict[str, float]:
        stamp = _checked(folder)
        with self._one_at_a_time:
            pipe, tokens = self._model(str(folder), stamp)
            found = pipe(text[:MAX_CHARS] or " ", top_k=None, truncation=True, max_length=tokens)
        pairs = sorted(((str(each["label"]), float(each["score"])) for each in found), key=lambda pair: -pair[1])
        return {label: round(score, 4) for label, score in pairs}

    def _model(self, folder: str, stamp: int) -> tuple[Any, int]:
        """Return a loaded model and how many tokens it reads; the one that was unused for longest makes room."""
        found = self._kept.pop((folder, stamp), None) or _loaded(folder)
        self._kept[folder, stamp] = found
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return found

    def close(self) -> None:
        """Let the models go."""
        self._kept.clear()


def _folder(base: str, name: str) -> Path:
    """Return the model's folder, never one outside the owner's."""
    if not base:
        said = "No model is set up."
        raise ToolFailure(said, hint='Set [plugins.classify] model = "/path/to/folder", or use method="rules".')
    home = Path(base).expanduser().resolve()
    folder = (home / name).resolve() if name and "\0" not in name else home
    if not folder.is_relative_to(home):
        raise ToolFailure(f"The model {name!r} is outside the owner's folder.", hint="Name a folder within it.")
    return folder


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


def _loaded(folder: str) -> tuple[Any, int]:
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
