"""Counting tokens: exactly where that is possible without waiting for anything, otherwise by a calibrated estimate."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    import tiktoken

BYTES_PER_TOKEN = 3.5
LEAST_BYTES = 400
SLOWNESS = 0.3
BOUNDS = (1.2, 8.0)
# tiktoken keeps an encoding under the SHA-1 of the address that it came from.
CACHE_NAMES = {
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
}
ENCODINGS = (
    ("gpt-4o", "o200k_base"),
    ("gpt-4.1", "o200k_base"),
    ("gpt-4.5", "o200k_base"),
    ("gpt-5", "o200k_base"),
    ("chatgpt-4o", "o200k_base"),
    ("o1", "o200k_base"),
    ("o3", "o200k_base"),
    ("o4", "o200k_base"),
    ("gpt-4", "cl100k_base"),
    ("gpt-3.5", "cl100k_base"),
)

_loaded: dict[str, tiktoken.Encoding] = {}
_begun: set[str] = set()
_lock = threading.Lock()


def encoding_name(model: str) -> str | None:
    """Return the name of the model's public encoding, or None when it has none."""
    bare = model.rpartition("/")[2]
    return next((encoding for prefix, encoding in ENCODINGS if bare.startswith(prefix)), None)


def is_cached(encoding: str) -> bool:
    """Return True when the file of an encoding lies in `TIKTOKEN_CACHE_DIR`."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR")
    return bool(folder) and Path(str(folder), CACHE_NAMES[encoding]).is_file()


def _load(encoding: str) -> None:
    """Load an encoding; in a daemon thread, because a fetch behind a black hole may never come back."""
    try:
        import tiktoken

        _loaded[encoding] = tiktoken.get_encoding(encoding)
    except Exception as error:  # whatever it is, the estimate goes on serving
        logger.debug("Token counts stay estimates: {} could not be loaded ({})", encoding, type(error).__name__)


class TokenCounter:
    """Counts the tokens of texts for one model. Never blocks, never raises, never needs the network.

    `fetch` allows one attempt per process to download a missing encoding in the background. Until an encoding is there,
    and for models without a public one, tokens are bytes divided by a ratio that starts at 3.5 (or `bytes_per_token`,
    as `ratio` gave it last time) and follows what the server reports.
    """

    def __init__(self, model: str, *, fetch: bool = False, bytes_per_token: float = BYTES_PER_TOKEN) -> None:
        self.ratio = bytes_per_token
        self._encoding = encoding_name(model)
        self._fetch = fetch

    def warm(self) -> threading.Thread | None:
        """Begin to load the model's encoding in the background, once per process; return its thread when it began."""
        name = self._encoding
        if name is None or not (self._fetch or is_cached(name)):
            return None
        with _lock:
            if name in _begun:
                return None
            _begun.add(name)
        thread = threading.Thread(target=_load, args=(name,), name=f"load-{name}", daemon=True)
        thread.start()
        return thread

    @property
    def exact(self) -> bool:
        """True when the model's own encoding does the counting."""
        return self._encoding in _loaded

    def count(self, text: str) -> int:
        """Return the number of tokens of a text."""
        encoding = _loaded.get(self._encoding or "")
        if encoding is not None:
            return len(encoding.encode_ordinary(text))
        return self.estimate(len(text.encode(errors="surrogatepass")))

    def estimate(self, size: int) -> int:
        """Return the tokens of so many bytes, at least 1 for any text."""
        return 0 if size == 0 else max(1, round(size / self.ratio))

    def observe(self, size: int, tokens: int) -> None:
        """Learn from a server's report that `size` bytes were `tokens` tokens.

        Short texts say little (most of their tokens belong to the chat template) and are passed over.
        """
        if size < LEAST_BYTES or tokens <= 0:
            return
        seen = min(max(size / tokens, BOUNDS[0]), BOUNDS[1])
        self.ratio += SLOWNESS * (seen - self.ratio)
