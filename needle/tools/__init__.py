"""Tool specifications in, one ``ToolSpec`` out; validation of calls; the ``Caller`` seam."""

from needle.tools.caller import Caller, CallResult, Evidence, Request
from needle.tools.read import load_toolset, read_tools, read_tools_with_notes
from needle.tools.spec import ToolCall, ToolSpec, fingerprint
from needle.tools.validate import Violation, is_valid, validate_calls

__all__ = [
    "CallResult",
    "Caller",
    "Evidence",
    "Request",
    "ToolCall",
    "ToolSpec",
    "Violation",
    "fingerprint",
    "is_valid",
    "load_toolset",
    "read_tools",
    "read_tools_with_notes",
    "validate_calls",
]
