"""needle: distil the tool calling of a large teacher into a 26M-parameter student that runs on small devices.

    import needle
    model = needle.load()
    calls = model.call("dim the kitchen to 10", tools)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from needle.errors import UserError

if TYPE_CHECKING:
    from needle.agent import Agent
    from needle.extraction import extract, extract_all
    from needle.mcp import tools_from_mcp
    from needle.models import load
    from needle.tools import Caller, CallResult, Request, ToolCall, ToolSpec
    from needle.tools.dates import clock_facts
    from needle.tools.functions import tool
    from needle.tools.read import load_toolset

__version__ = "0.1.0"
__all__ = [
    "Agent",
    "CallResult",
    "Caller",
    "Request",
    "ToolCall",
    "ToolSpec",
    "UserError",
    "clock_facts",
    "extract",
    "extract_all",
    "load",
    "load_toolset",
    "tool",
    "tools_from_mcp",
]

_WHERE = {
    **dict.fromkeys(("Caller", "CallResult", "Request", "ToolCall", "ToolSpec"), "needle.tools"),
    "Agent": "needle.agent",
    "clock_facts": "needle.tools.dates",
    "extract": "needle.extraction",
    "extract_all": "needle.extraction",
    "load": "needle.models",
    "tool": "needle.tools.functions",
    "tools_from_mcp": "needle.mcp",
    "load_toolset": "needle.tools.read",
}


def __getattr__(name: str) -> Any:
    """Import names on first use, so that ``import needle`` is quick, and Ctrl-C finds a program that is loaded (``needle.__main__``)."""
    if name == "tools":
        return import_module("needle.tools")
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'needle' has no attribute {name!r}")
