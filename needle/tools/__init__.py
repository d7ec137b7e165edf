"""Tool specifications in, one ``ToolSpec`` out; validation of calls; the ``Caller`` seam."""

from needle.tools.caller import Caller, CallResult, Evidence, Request
from needle.tools.spec import ToolCall, ToolSpec, fingerprint

__all__ = ["CallResult", "Caller", "Evidence", "Request", "ToolCall", "ToolSpec", "fingerprint"]
