"""Tool specifications in, one ``ToolSpec`` out; validation of calls; the ``Caller`` seam.

The nouns are imported at once; what needs jsonschema or Pydantic only when it is asked for, so that a bare training
machine can import the nouns without either.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from needle.tools.caller import FREE, Caller, CallResult, Choice, Delta, Evidence, Request
from needle.tools.spec import ToolCall, ToolSpec, fingerprint

if TYPE_CHECKING:
    from needle.tools.functions import spec_from_function, spec_from_model, tool
    from needle.tools.lint import Finding, lint_tools
    from needle.tools.read import load_toolset, read_tools, read_tools_with_notes
    from needle.tools.validate import Violation, is_valid, validate_calls

_WHERE = {
    **dict.fromkeys(("spec_from_function", "spec_from_model", "tool"), "functions"),
    **dict.fromkeys(("Finding", "lint_tools"), "lint"),
    **dict.fromkeys(("load_toolset", "read_tools", "read_tools_with_notes"), "read"),
    **dict.fromkeys(("Violation", "is_valid", "validate_calls"), "validate"),
}

__all__ = [
    "FREE",
    "CallResult",
    "Caller",
    "Choice",
    "Delta",
    "Evidence",
    "Finding",
    "Request",
    "ToolCall",
    "ToolSpec",
    "Violation",
    "fingerprint",
    "is_valid",
    "lint_tools",
    "load_toolset",
    "read_tools",
    "read_tools_with_notes",
    "spec_from_function",
    "spec_from_model",
    "tool",
    "validate_calls",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
