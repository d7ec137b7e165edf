"""The leaderboard's own checker, loaded from the installed package without its dependencies, and predictions for it."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from needle.tools import ToolCall
from needle.traces import Trace

Checker = Callable[[Trace, list[dict[str, Any]], list[ToolCall] | None], bool]


@contextmanager
def official_checker() -> Iterator[Checker]:
    """``checker(trace, functions, calls) -> valid``. What would need other packages is replaced by empty modules."""
    package = Path(next(iter(importlib.util.find_spec("bfcl_eval").submodule_search_locations)))
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "bfcl_eval"}
    for name in ("", ".constants", ".eval_checker", ".eval_checker.ast_eval"):
        stub = ModuleType("bfcl_eval" + name)
        stub.__path__ = [str(package.joinpath(*name.split(".")))]
        sys.modules[stub.__name__] = stub
    models = ModuleType("bfcl_eval.constants.model_config")
    models.MODEL_CONFIG_MAPPING = {"any": SimpleNamespace(underscore_to_dot=False)}
    sys.modules[models.__name__] = models
    try:
        module = importlib.import_module("bfcl_eval.eval_checker.ast_eval.ast_checker")
        yield lambda trace, functions, calls: _official(module, trace, functions, calls)
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "bfcl_eval"]:
            del sys.modules[name]
        sys.modules.update(before)


def _official(module: ModuleType, trace: Trace, functions: list[dict[str, Any]], calls: list[ToolCall] | None) -> bool:
    """Verdict of the package; where it raises an exception (it does on a few odd answers) nothing is valid."""
    category = trace.kind
    if "relevance" in category:
        called = bool(calls)
        return not called if "irrelevance" in category else called
    if calls is None:
        return False
    language = {"simple_java": "JAVA", "simple_javascript": "JAVASCRIPT"}.get(category, "PYTHON")
    output = [{call.name: copy.deepcopy(call.arguments)} for call in calls]
    truth = trace.meta["scoring"]["bfcl"]["truth"]
    try:
        found = module.ast_checker(functions, output, truth, getattr(module.Language, language), category, "any")
    except (TypeError, AttributeError, KeyError, IndexError, OverflowError):
        return False
    return bool(found["valid"])


POOL: list[Any] = [
    None, True, False, 0, 1, -5, 5, 5.0, 2.5, 10**400, "", " ", "5", "1.5", "true", "any", "a,b", [], [1], ["a"], [[]],
    [{}], {}, {"a": 1}, {"a": {"b": [1]}}, [None], [1, "a"], "new int[]{1, 2}", "new int[]{}", "5L", "2.5f", "[1, 2]",
    "['a', \"b\"]", "{'a': 1, 'b': [1, 2]}", "{}", "[[1, 2], [3]]", "new Array(1, 2)", "new HashMap<>()",
    'new HashMap<String, Object>() {{ put("a", 1); put("b", "x"); }}', "new ArrayList<>(Arrays.asList(1, 2))",
    "new ArrayList<Integer>() {{ add(1); add(2); }}", "new ArrayList<>()", "12n", "'x'", '"', "'", "-3\n",
]  # fmt: skip
"""Values of every kind, and literals of Java and JavaScript."""


def perturb(trace: Trace, chance: random.Random) -> list[ToolCall]:
    """Predicted calls near the gold ones: one to three changes to values, arguments, names, number or order."""
    calls = [ToolCall(call.name, copy.deepcopy(call.arguments)) for call in trace.calls]
    facts = trace.meta["scoring"]["bfcl"]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if not calls:
            break
        place = chance.randrange(len(calls))
        if chance.random() < 0.12:
            calls = _rearranged(calls, place, chance)
        else:
            calls[place] = _changed(calls[place], facts, min(place, len(facts["truth"]) - 1), chance)
    return calls


def _rearranged(calls: list[ToolCall], place: int, chance: random.Random) -> list[ToolCall]:
    what = chance.randrange(4)
    if what == 0:
        return calls[:place] + calls[place + 1 :]
    if what == 1:
        return [*calls, calls[place]]
    if what == 2:
        return chance.sample(calls, len(calls))
    name = chance.choice((calls[place].name.replace(".", "_"), calls[place].name.lower(), "other"))
    return [*calls[:place], ToolCall(name, calls[place].arguments), *calls[place + 1 :]]


def _changed(call: ToolCall, facts: dict[str, Any], place: int, chance: random.Random) -> ToolCall:
    arguments = dict(call.arguments)
    ((_, accepted),) = facts["truth"][place].items()
    names = list(dict.fromkeys([*accepted, *(facts["specs"][place] or {"types": {}})["types"]])) or ["x"]
    name = chance.choice(names)
    what = chance.random()
    if what < 0.12:
        arguments.pop(name, None)
    elif what < 0.4:
        arguments[name] = chance.choice(accepted.get(name) or POOL)
        if isinstance(arguments[name], dict):
            arguments[name] = {
                key: chance.choice(values) if values and isinstance(values, list) else values
                for key, values in arguments[name].items()
            }
    elif what < 0.5:
        arguments[name] = chance.choice(POOL)
    elif what < 0.53:
        arguments["unheard_of"] = 1
    else:
        arguments[name] = _varied(arguments.get(name, chance.choice(POOL)), chance)
    return ToolCall(call.name, arguments)


def _varied(value: Any, chance: random.Random) -> Any:
    """A value close to ``value``, some equal under the leaderboard's rules and some not."""
    if isinstance(value, str):
        at = chance.randrange(len(value) + 1)
        inserted = value[:at] + chance.choice(" ,./-_*^'\"xX1;:[]{}()\n") + value[at:]
        shorter = value[:at] + value[at + 1 :]
        return chance.choice((value.upper(), value.lower(), f"'{value}'", inserted, shorter, [value]))
    if isinstance(value, bool) or value is None:
        return chance.choice((not value, int(bool(value)), str(value).lower(), None))
    if isinstance(value, (int, float)):
        same = [value, -value, value + 1, str(value), [value], bool(value)]
        return chance.choice([*same, float(value)] if abs(value) < 1e15 else same)
    if isinstance(value, list):
        inside = [_varied(one, chance) if chance.random() < 0.5 else one for one in value]
        return chance.choice((value[::-1], value[1:], [*value, chance.choice(POOL)], inside, tuple_free(value)))
    changed = {key: _varied(one, chance) if chance.random() < 0.4 else one for key, one in value.items()}
    if changed and chance.random() < 0.3:
        changed.pop(chance.choice(list(changed)))
    return changed | ({"more": 1} if chance.random() < 0.1 else {})


def tuple_free(value: list[Any]) -> Any:
    """The only item of a list, else the list as text."""
    return value[0] if len(value) == 1 else str(value)
