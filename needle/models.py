"""From the name of a model to a ``Caller``: a checkpoint folder, a hub id, the bundled base, an endpoint, a baseline."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from needle.errors import UserError
from needle.student.shape import WEIGHTS, Shape
from needle.tools import Caller
from needle.traces import Trace

if TYPE_CHECKING:
    from needle.student.caller import Engine, StudentCaller

BUNDLED = Path(__file__).parent / "student" / "assets"
"""Folder of the base checkpoint that comes with the package."""
ENGINES = ("auto", "onnx", "torch")


def checkpoint_folder(path_or_id: str | Path | None = None) -> Path:
    """Folder with the weights: the bundled base for None, the best checkpoint of a run folder, or a download of a hub id.

    Raises:
        UserError: nothing there, or the hub is out of reach.
    """
    folder = BUNDLED if path_or_id is None else Path(path_or_id)
    for candidate in (folder, folder / "best"):
        if (candidate / "config.json").is_file():
            return candidate
    if folder.exists() or path_or_id is None or str(path_or_id).count("/") != 1 or str(path_or_id).startswith((".", "/")):
        raise UserError(f"{folder}: no checkpoint there; train one with `needle train`, or leave --model out for the bundled base")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(path_or_id)))
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path_or_id}: neither a folder nor a model that the hub gives ({reason}); check the name or the network") from error


def require_torch(what: str) -> None:
    """Raise ``UserError`` with the remedy when torch or transformers is not installed."""
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        raise UserError(f'{what} needs {" and ".join(missing)}: pip install "needle-distill[train]"')


def open_engine(folder: Path, engine: str = "auto", threads: int = 1) -> Engine:
    """The arithmetic behind a student: ``onnx`` (ONNX Runtime), ``torch``, or ``auto``: ONNX unless its tools see the request.

    Raises:
        UserError: no student there, no such engine or number of threads, or one that cannot run it.
    """
    if threads < 1:
        raise UserError(f"{threads} threads: at least one")
    if engine not in ENGINES:
        raise UserError(f"engine {engine!r}: one of {', '.join(ENGINES)}")
    if engine == "torch" or (engine == "auto" and not Shape.read(folder).shares_toolsets):
        require_torch("running a student in torch")
        from needle.student.modeling.engine import TorchEngine

        return TorchEngine.from_folder(folder)
    from needle.device.engine import OnnxEngine
    from needle.device.prepared import ToolsetCache, toolsets_folder

    return OnnxEngine(folder, threads=threads, cache=ToolsetCache(toolsets_folder()))


def load(
    path_or_id: str | Path | None = None,
    *,
    engine: str = "auto",
    threads: int = 1,
    threshold: float | None = None,
    fallback: Caller | str | None = None,
    **options: Any,
) -> Caller:
    """The student at ``path_or_id`` (None: the bundled base), ready for ``.call(query, tools)``.

    Args:
        engine: ``onnx`` (needs no torch), ``torch``, or ``auto``; see ``open_engine``.
        threads: threads of one answer in ONNX Runtime.
        threshold: confidence below which an answer counts as unsure (0.7 where only a fallback is given).
        fallback: who answers then: another caller, or its name as in ``open_caller`` (``"http://...#model"``); None: the answer is marked.
        options: those of ``StudentCaller``: ``constrained``, ``beams``, ``rows``, ``explain``, ``most_tools``, ``second_look``;
            ``calibration``, ``prior`` and ``retrieval`` in place of what lies beside the weights (None: without).

    Raises:
        UserError: no such model, or a threshold that is no probability.
    """
    return guarded(_student(path_or_id, engine, threads, **options), threshold, fallback)


def guarded(caller: Caller, threshold: float | None, fallback: Caller | str | None = None) -> Caller:
    """``caller``, with a fallback where it is unsure; itself when neither is asked for. Raises ``UserError`` like ``open_caller``."""
    if threshold is None and fallback is None:
        return caller
    from needle.tools.fallback import THRESHOLD, FallbackCaller

    second = open_caller(fallback) if isinstance(fallback, str) else fallback
    return FallbackCaller(caller, second, threshold=THRESHOLD if threshold is None else threshold)


def _student(path_or_id: str | Path | None, engine: str = "auto", threads: int = 1, **options: Any) -> StudentCaller:
    folder = checkpoint_folder(path_or_id)
    from needle.student.caller import StudentCaller
    from needle.student.confidence import Calibration
    from needle.student.prior import Prior
    from needle.student.retrieval import RetrievalHead
    from needle.student.tokenizer import load_tokenizer

    made = open_engine(folder, engine, threads)
    digest = hashlib.blake2b((folder / WEIGHTS).read_bytes(), digest_size=4).hexdigest()
    shown = "bundled base" if path_or_id is None else folder  # results name the model, not where it is installed
    mode = "".join(f", {key} {value}" for key, value in sorted((options | ({"engine": engine} if engine != "auto" else {})).items()))
    beside = {"calibration": Calibration.load, "retrieval": RetrievalHead.load, "prior": Prior.load}
    fitted = {kind: read(folder) for kind, read in beside.items() if kind not in options}
    return StudentCaller(made, load_tokenizer(folder), name=f"{shown} ({digest}{mode})", **fitted, **options)


def open_caller(
    model: str | None, *, traces: Sequence[Trace] = (), constrained: bool = True, beams: int = 1, parser: str = "auto", concurrency: int = 8,
    threshold: float | None = None, fallback: str | None = None, most_tools: int | None = None, threads: int = 1,
) -> Caller:  # fmt: skip
    """What ``--model`` names.

    ``baseline:NAME``; an endpoint (``URL#name``, ``teacher:PROFILE``, ``embedded``); a program, function, Hugging Face model or
    saved outputs (``cmd:...``, ``py:...``, ``hf:...``, ``replay:...``); a checkpoint or hub id; None for the bundled base.

    Args:
        traces: the rows to be answered; only ``gold``, ``copy`` and ``replay:`` look at them.
        parser: how output text is read, ``needle.evals.parsers.PARSERS``; an endpoint's ``tool_calls`` need none.
        concurrency: requests that an endpoint gets at a time.
        threshold: see ``load``.
        fallback: name of the model that gets the requests of which ``model`` is unsure.
        most_tools: of larger toolsets a student is shown so many tools that fit the request best.
        threads: see ``load``; nothing to callers that are no student.

    Raises:
        UserError: no such model, or an option that it does not have.
    """
    options = {"constrained": constrained, "beams": beams, "threads": threads} | ({} if most_tools is None else {"most_tools": most_tools})
    caller = _open(model, traces, options, parser, concurrency)
    return guarded(caller, threshold, fallback)


def _open(model: str | None, traces: Sequence[Trace], options: dict[str, Any], parser: str, concurrency: int) -> Caller:
    from needle.evals.adapters import PREFIXES, open_adapter
    from needle.evals.parsers import parser_named

    parser_named(parser)
    if model and model.startswith("baseline:"):
        from needle.evals import baseline

        return baseline(model.removeprefix("baseline:"), traces, dialect="json" if parser == "auto" else parser)
    if model and model.startswith(PREFIXES):
        return open_adapter(model, traces=traces, parser=parser)
    if model and (model == "embedded" or model.startswith(("http://", "https://", "teacher:"))):
        return _open_endpoint(model, parser, concurrency)
    if parser != "auto":
        raise UserError(f"--parser {parser}: a student reads its own output; leave it out")
    return _student(model, **options)


def _open_endpoint(model: str, parser: str, concurrency: int) -> Caller:
    from needle.evals.adapters.content import ContentCaller
    from needle.teacher import EndpointCaller, resolve_teacher

    named = model.removeprefix("teacher:")
    if named.startswith(("http://", "https://")) and not named.partition("#")[2]:
        raise UserError(f"{model}: which model there? write URL#name")
    if concurrency < 1:
        raise UserError(f"--concurrency {concurrency}: at least one request at a time")
    caller = EndpointCaller(config=resolve_teacher(named), concurrency=concurrency)
    return caller if parser in ("auto", "openai") else ContentCaller(caller, parser)
