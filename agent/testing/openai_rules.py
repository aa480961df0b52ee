"""What the OpenAI API demands of a chat completion request. The fake server refuses what the real one refuses."""

from __future__ import annotations

import base64
import re
from typing import Any

DATA_URL = re.compile(r"data:image/(?P<kind>png|jpeg|gif|webp);base64,(?P<data>[A-Za-z0-9+/=]+)")
MAGIC = {"png": b"\x89PNG", "jpeg": b"\xff\xd8\xff", "gif": b"GIF8", "webp": b"RIFF"}
MOST_PICTURE_BYTES = 20 << 20
NAME = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
PARAMETERS = frozenset(
    {
        *(
            "model",
            "messages",
            "stream",
            "stream_options",
            "max_tokens",
            "max_completion_tokens",
            "temperature",
            "top_p",
        ),
        *("n", "stop", "tools", "tool_choice", "parallel_tool_calls", "response_format", "seed", "user", "metadata"),
        *(
            "frequency_penalty",
            "presence_penalty",
            "logit_bias",
            "logprobs",
            "top_logprobs",
            "reasoning_effort",
            "store",
        ),
    },
)


class Refusal(Exception):
    """The request is answered with an error of this status, in OpenAI's form."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        kind = "invalid_request_error" if status < 500 else "server_error"
        self.body: dict[str, Any] = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def check_request(body: Any) -> dict[str, Any]:
    """Return the request when all is well. Raises Refusal for the first thing that the real server would refuse."""
    if not isinstance(body, dict):
        raise Refusal("We could not parse the JSON body of your request: an object is expected.")
    for name in body:
        if name not in PARAMETERS:
            raise Refusal(f"Unrecognized request argument supplied: {name}", param=name)
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Refusal("you must provide a model parameter", param="model")
    _check_messages(body.get("messages"))
    _check_numbers(body)
    _check_tools(body)
    _check_response_format(body)
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Refusal(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    return body


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise Refusal("Invalid 'messages': a non-empty array is expected.", param="messages")
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        role = _check_message(message, where)
        if role == "tool":
            if message["tool_call_id"] not in open_calls:
                raise Refusal(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
                    "'tool_calls'.",
                    param=f"{where}.role",
                )
            open_calls.discard(message["tool_call_id"])
        elif open_calls:
            raise _unanswered(open_calls)
        elif role == "assistant":
            open_calls = {call["id"] for call in message.get("tool_calls") or ()}
    if open_calls:
        raise _unanswered(open_calls)


def _unanswered(open_calls: set[str]) -> Refusal:
    return Refusal(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(sorted(open_calls))}",
        param="messages",
    )


def _check_message(message: Any, where: str) -> str:
    if not isinstance(message, dict):
        raise Refusal(f"Invalid type for '{where}': expected an object.", param=where)
    role = message.get("role")
    if role not in ROLES:
        raise Refusal(
            f"Invalid value: '{role}'. Supported values are: {', '.join(sorted(ROLES))}.", param=f"{where}.role"
        )
    calls = message.get("tool_calls")
    if calls is not None:
        _check_calls(calls, role, where)
    content = message.get("content")
    if not isinstance(content, str | list) and not (role == "assistant" and content is None and calls):
        raise Refusal(f"Invalid value for 'content': expected a string, got {content!r}.", param=f"{where}.content")
    if isinstance(content, list):
        _check_parts(content, role, f"{where}.content")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise Refusal(f"Missing parameter '{where}.tool_call_id'.", param=f"{where}.tool_call_id")
    return str(role)


def _check_parts(parts: list[Any], role: Any, where: str) -> None:
    """Content parts: text for everybody, pictures for the user only, as data URLs of bytes that are such a picture."""
    if not parts:
        raise Refusal(f"Invalid '{where}': empty array. Expected at least one part.", param=where)
    for index, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        here = f"{where}[{index}]"
        if kind == "text" and isinstance(part.get("text"), str):
            continue
        if kind != "image_url":
            raise Refusal(f"Invalid value: {kind!r}. Supported values are: 'text', 'image_url'.", param=here)
        if role != "user":
            raise Refusal(f"Image URLs are only allowed for messages with role 'user', but '{here}' is of {role!r}.")
        _check_picture((part.get("image_url") or {}).get("url"), here)


def _check_picture(url: Any, here: str) -> None:
    found = DATA_URL.fullmatch(url) if isinstance(url, str) else None
    if found is None:
        raise Refusal(f"Invalid '{here}.image_url.url': a data URL of a png, jpeg, gif or webp image is expected.")
    try:
        data = base64.b64decode(found["data"], validate=True)
    except ValueError:
        raise Refusal(f"Invalid '{here}.image_url.url': its base64 can't be read.", code="invalid_base64") from None
    if not data.startswith(MAGIC[found["kind"]]) or len(data) > MOST_PICTURE_BYTES:
        raise Refusal("You uploaded an unsupported image.", code="invalid_image_format")


def _check_calls(calls: Any, role: Any, where: str) -> None:
    if role != "assistant" or not isinstance(calls, list) or not calls:
        raise Refusal(f"Invalid '{where}.tool_calls': a non-empty array of an assistant message.", param=where)
    for call in calls:
        function = call.get("function") or {}
        if not call.get("id") or call.get("type") != "function" or not NAME.match(str(function.get("name"))):
            raise Refusal(f"Invalid '{where}.tool_calls': id, type and function are required.", param=where)
        if not isinstance(function.get("arguments"), str):
            raise Refusal(f"Invalid '{where}.tool_calls': arguments must be a string.", param=where)


def _check_numbers(body: dict[str, Any]) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        value = body.get(name)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise Refusal(f"Invalid '{name}': expected an integer of at least 1, got {value!r}.", param=name)
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise Refusal("Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
    temperature = body.get("temperature")
    if temperature is not None and not (isinstance(temperature, int | float) and 0 <= temperature <= 2):
        raise Refusal(f"Invalid 'temperature': {temperature!r} is not between 0 and 2.", param="temperature")
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > 4:
        raise Refusal("Invalid 'stop': array too long. Expected at most 4 elements.", param="stop")


def _check_tools(body: dict[str, Any]) -> None:
    tools = body.get("tools")
    if tools is None:
        if body.get("tool_choice") is not None:
            raise Refusal("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
        return
    if not isinstance(tools, list) or not tools:
        raise Refusal("Invalid 'tools': empty array. Expected an array with minimum length 1.", param="tools")
    names = set()
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type") != "function":
            raise Refusal("Missing required parameter: 'tools[0].function'.", param="tools")
        if not NAME.match(str(function.get("name"))):
            raise Refusal(f"Invalid 'tools[0].function.name': {function.get('name')!r} does not match.", param="tools")
        if not isinstance(function.get("parameters", {}), dict):
            raise Refusal(f"Invalid schema for function '{function['name']}': expected an object.", param="tools")
        names.add(function["name"])
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("function", {}).get("name") not in names:
        raise Refusal("Tool choice names a function that is not in 'tools'.", param="tool_choice")


def _check_response_format(body: dict[str, Any]) -> None:
    wanted = body.get("response_format")
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in {"text", "json_object", "json_schema"}:
        raise Refusal(f"Invalid value: {kind!r} for 'response_format.type'.", param="response_format.type")
    if kind == "json_object" and "json" not in str(body["messages"]).lower():
        raise Refusal("'messages' must contain the word 'json' to use 'response_format' of type 'json_object'.")
    if kind == "json_schema":
        described = wanted.get("json_schema")
        if not isinstance(described, dict) or not NAME.match(str(described.get("name"))):
            raise Refusal("Missing required parameter: 'response_format.json_schema.name'.", param="response_format")
        if not isinstance(described.get("schema"), dict):
            raise Refusal("Missing required parameter: 'response_format.json_schema.schema'.", param="response_format")
        if described.get("strict"):
            _check_strict(described["schema"], described["name"])


def _check_strict(schema: Any, name: str) -> None:
    """Strict schemas close every object and require every property."""
    if isinstance(schema, list):
        for part in schema:
            _check_strict(part, name)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            raise Refusal(
                f"Invalid schema for response_format '{name}': 'additionalProperties' is required to be supplied and "
                "to be false.",
                param="response_format",
            )
        if set(schema.get("required", ())) != set(schema.get("properties", {})):
            raise Refusal(
                f"Invalid schema for response_format '{name}': 'required' is required to include every key.",
                param="response_format",
            )
    for part in schema.values():
        _check_strict(part, name)
