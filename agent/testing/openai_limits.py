"""How model servers refuse a prompt that is longer than their context, each in its own words."""

from __future__ import annotations

import json
from typing import Any

from agent.testing.openai_rules import Refusal
from agent.testing.openai_script import tokens_of

TEMPLATE_TOKENS = 4  # around each message


def prompt_tokens(body: dict[str, Any]) -> int:
    """Return the tokens of a request's messages and tools, as the fake servers count them."""
    texts = [str(message.get("content") or "") for message in body["messages"]]
    texts += [call["function"]["arguments"] for one in body["messages"] for call in one.get("tool_calls") or ()]
    texts += [json.dumps(tool) for tool in body.get("tools") or ()]
    return sum(len(tokens_of(text)) for text in texts) + TEMPLATE_TOKENS * len(body["messages"])


def check_window(body: dict[str, Any], window: int, flavour: str) -> None:
    """Raise Refusal for a prompt that leaves no room in a context of `window` tokens."""
    used = prompt_tokens(body)
    if used < window:
        return
    refusal = Refusal(_message(flavour, used, window), code="context_length_exceeded" if flavour == "openai" else None)
    if flavour in {"llama.cpp", "ollama"}:
        told = {"code": 400, "message": _message(flavour, used, window), "type": "exceed_context_size_error"}
        refusal.body = {"error": {**told, "n_prompt_tokens": used, "n_ctx": window}}
    if flavour == "lm-studio":
        refusal.body = {"error": _message(flavour, used, window)}
    raise refusal


def _message(flavour: str, used: int, window: int) -> str:
    return {
        "vllm": (
            f"This model's maximum context length is {window} tokens. However, you requested {used} tokens in the "
            "messages, Please reduce the length of the messages."
        ),
        "llama.cpp": "the request exceeds the available context size, try increasing it",
        "ollama": f"request ({used} tokens) exceeds the available context size ({window} tokens), try increasing it",
        "lm-studio": (
            f"Trying to keep the first {used} tokens when context the overflows. However, the model is loaded with "
            f"context length of only {window} tokens, which is not enough."
        ),
    }.get(
        flavour,
        f"This model's maximum context length is {window} tokens. However, your messages resulted in {used} tokens. "
        "Please reduce the length of the messages.",
    )
