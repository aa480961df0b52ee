"""The only door of a plugin: `@tool`, `@command`, `@service`, `Plugin`, `Context`, `File`, `Output` and the UI records.

The smallest plugin is a module with a docstring and one function::

    from plugins.api import tool

    @tool
    def roll(sides: int = 6, times: int = 1) -> list[int]:
        \"\"\"Roll a die and return what came up.\"\"\"

Name, parameters and description come from the function, its annotations and its docstring. A tool stays a plain
function: a test calls it. Importing this module is cheap; pydantic is loaded when a schema is first asked for.

`tool_from_schema` is for tools whose functions are elsewhere, such as on a server: their parameters are a JSON Schema.
"""

from __future__ import annotations

from plugins.api.context import Context, Memory, ServiceContext
from plugins.api.declaring import EffectOrRecovery, command, service, service_of, spec_of, tool
from plugins.api.records import (
    Button,
    Field,
    File,
    Form,
    Menu,
    Output,
    Pattern,
    Plugin,
    PluginError,
    ServiceName,
    ToolFailure,
)
from plugins.api.spec import Cost, Effect, ServiceSpec, ToolSpec, tool_from_schema

__all__ = [
    "Button",
    "Context",
    "Cost",
    "Effect",
    "EffectOrRecovery",
    "Field",
    "File",
    "Form",
    "Memory",
    "Menu",
    "Output",
    "Pattern",
    "Plugin",
    "PluginError",
    "ServiceContext",
    "ServiceName",
    "ServiceSpec",
    "ToolFailure",
    "ToolSpec",
    "command",
    "service",
    "service_of",
    "spec_of",
    "tool",
    "tool_from_schema",
]
