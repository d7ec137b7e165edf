"""``py:module:function`` or ``py:file.py:function``: a Python function that gets a request and gives text or calls.

    def answer(request):                      # {"query", "system", "messages", "tools"}
        return [{"name": "ping", "arguments": {}}]      # or text for the parser, or {"calls": ..., "confidence": ...}

A ``Caller``, a class of one, or a function without parameters that makes one is taken too.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from needle.errors import UserError
from needle.evals.adapters.text import Output, TextCaller, output_from, request_to_dict
from needle.evals.parsers import AUTO
from needle.tools.caller import Caller, Request


class FunctionCaller(TextCaller):
    """Answers with a function of the request. An exception costs its row an infrastructure error."""

    concurrency = 1
    """Requests at a time, as for a program."""

    def __init__(self, function: Callable[[dict[str, Any]], Any], name: str, *, parser: str = AUTO) -> None:
        self.function, self.name, self.parser = function, name, parser
        self.settings: dict[str, Any] = {"source": _digest(function)}

    def write(self, requests: Sequence[Request]) -> list[Output]:
        """One output a request."""
        return [self._ask(request) for request in requests]

    def _ask(self, request: Request) -> Output:
        start = time.perf_counter()
        try:
            value = self.function(request_to_dict(request))
        except Exception as error:  # noqa: BLE001 - anything may go wrong in a function of theirs
            reason = f"exception: {type(error).__name__}: {error}"
            return Output(failure=reason.splitlines()[0][:300], seconds=time.perf_counter() - start)
        return output_from(value, time.perf_counter() - start)


def open_function(target: str, *, parser: str = AUTO) -> Caller:
    """The caller behind ``module:function``. Raises ``UserError`` when there is none or its module fails to load."""
    place, _, attribute = target.rpartition(":")
    if not place or not attribute:
        raise UserError(f"py:{target}: write py:module:function or py:file.py:function")
    found = _module(place)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UserError(f"py:{target}: {place} has no {attribute}; check the name")
        found = getattr(found, part)
    if isinstance(found, Caller):
        return found
    if not callable(found):
        raise UserError(f"py:{target}: {attribute} is neither a function nor a Caller")
    if (inspect.isclass(found) and issubclass(found, Caller)) or not _takes_one(found):
        made = found()
        if not isinstance(made, Caller):
            raise UserError(f"py:{target}: {attribute} takes no request and makes no Caller; give it one parameter")
        return made
    return FunctionCaller(found, f"py:{target}", parser=parser)


def _module(place: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            if str(Path.cwd()) not in sys.path:
                sys.path.insert(0, str(Path.cwd()))
            return importlib.import_module(place)
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        if spec is None or spec.loader is None or not Path(place).is_file():
            raise UserError(f"py:{place}: no such file; check the path")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"py:{place}: cannot be loaded ({type(error).__name__}: {error}); mend that first") from error


def _takes_one(function: Callable[..., Any]) -> bool:
    try:
        return bool(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return True


def _digest(function: Callable[..., Any]) -> str:
    """Hash of the file that holds the function, so that changed code is another model."""
    try:
        source = Path(inspect.getsourcefile(function) or "").read_bytes()
    except (OSError, TypeError):
        return ""
    return hashlib.blake2b(source, digest_size=4).hexdigest()
