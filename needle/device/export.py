"""What is shipped: one folder with the weights, the graphs that point into them, the tokenizer and a manifest that says what was checked.

``docs/formats.md`` describes the folder. Everything here runs without torch; given the engines of the checkpoint, the export is compared with it.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from needle.device.engine import OnnxEngine, make_graph
from needle.device.graphs import DECODER, ENCODER, VERSION
from needle.device.manifest import FORMAT, MANIFEST
from needle.device.weights import WeightsFile
from needle.errors import UserError
from needle.student import grammar
from needle.student.caller import Engine, StudentCaller
from needle.student.decoding import aligned_heads
from needle.student.rendering import render_request, render_tools
from needle.student.shape import WEIGHTS, Shape
from needle.student.tokenizer import BOS, SPECIAL_IDS, load_tokenizer
from needle.tools import Request

MOST_NOISE = 0.25
"""Largest typical difference of logits between graph and weights, as a share of their spread, with which an export is let out."""


@dataclass(frozen=True)
class Check:
    """How the export answers some rows, against the checkpoint that it was made of."""

    rows: int
    """Rows that both answered."""
    as_trained: int | None
    """Rows with the calls of the checkpoint: what rounding and the runtime change together. None: not compared."""
    as_stored: int | None
    """Rows with the calls of the stored weights in torch: what the runtime alone changes."""
    logit_noise: float | None
    """Median difference of logits between graph and stored weights over the standard deviation of the logits."""


    @property
    def line(self) -> str:
        """The findings in a line."""
        if self.as_trained is None:
            return f"{self.rows} rows answered; not compared with the checkpoint (that needs torch)"
        return (
            f"{self.as_trained} of {self.rows} rows answered as by the checkpoint, {self.as_stored} as by the stored weights in torch "
            f"(logits differ by {self.logit_noise or 0:.1%} of their spread)"
        )


@dataclass(frozen=True)
class Exported:
    """The finished folder."""

    files: dict[str, int]
    """Bytes of each file."""
    check: Check | None
    """None when there were no rows."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


@contextmanager
def room_for(out: Path) -> Iterator[Path]:
    """A fresh folder beside ``out`` that no other export writes to; gone at the end, unless it was put in place. What killed exports left goes too.

    Raises ``UserError`` when ``out`` is taken by something that is no export, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MANIFEST).is_file())):
        raise UserError(f"{out}: holds something that is no export; give a new folder")
    held = -1
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _sweep(out, "new")
        for number in itertools.count():
            fresh = out.with_name(f".{out.name}.new-{os.getpid()}-{number}")
            with suppress(FileExistsError, FileNotFoundError, BlockingIOError):
                fresh.mkdir()
                held = _hold(fresh)
                if _is(held, fresh):  # else another export took it for a leftover, in the moment before it was held, and a third may have its name
                    break
                if held >= 0:
                    os.close(held)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); give another --out") from error
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if held >= 0:
            os.close(held)


def _hold(folder: Path) -> int:
    """Lock a folder until the descriptor that is returned is closed or the process ends; -1 where the system has no such locks.

    Raises ``BlockingIOError`` when another export holds it, ``FileNotFoundError`` when it is gone.
    """
    try:
        import fcntl

        held = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        raise
    except (ImportError, OSError):
        return -1
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(held)
        if isinstance(error, BlockingIOError):
            raise
        return -1
    return held


def _is(held: int, folder: Path) -> bool:
    """Whether what ``_hold`` locked still has this name."""
    try:
        return held < 0 or os.path.samestat(os.fstat(held), folder.stat())
    except FileNotFoundError:
        return False


def _sweep(out: Path, kind: str) -> None:
    """Remove what killed exports to ``out`` left: folders of that kind that nobody holds."""
    named = re.compile(rf"\.{re.escape(out.name)}\.{kind}-\d+-\d+")
    for left in [path for path in out.parent.iterdir() if named.fullmatch(path.name)]:
        with suppress(BlockingIOError, FileNotFoundError):
            held = _hold(left)
            if held >= 0:
                if _is(held, left):  # else its name is another export's by now
                    shutil.rmtree(left, ignore_errors=True)
                os.close(held)


def put_in_place(fresh: Path, out: Path) -> None:
    """``fresh`` becomes ``out``; an older export there goes only then. Of exports at the same time the last one stays."""
    old = fresh.with_name(fresh.name.replace(".new-", ".old-"))
    while True:
        with suppress(FileNotFoundError):
            out.rename(old)
        try:
            fresh.rename(out)
            break
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                with suppress(OSError):
                    old.rename(out)
                raise
            shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    _sweep(out, "old")


def finish_export(
    folder: Path, source: Path, requests: Sequence[Request], trained: Mapping[str, Engine] | None, say: Callable[[str], None]
) -> Exported:
    """Add graphs, card and manifest to stored weights and a tokenizer.

    Args:
        source: the checkpoint; its name goes into the card.
        requests: what the export is checked on.
        trained: torch engines ``source`` (the checkpoint) and ``stored`` (the weights in ``folder``); None: not compared.

    Raises:
        UserError: a model that the runtime cannot run, or graphs that compute something else than the weights.
    """
    shape, weights = Shape.read(folder), WeightsFile.read(folder)
    if not shape.shares_toolsets:
        raise UserError(f"{source}: its tools see the request, so they cannot be encoded apart; only such students are exported")
    for file in (ENCODER, DECODER):
        (folder / file).write_bytes(make_graph(file, shape, weights))
    check = _check(folder, requests, trained, say) if requests else None
    if check and check.logit_noise is not None and check.logit_noise > MOST_NOISE:
        raise UserError(f"{source}: the graphs differ from the weights by {check.logit_noise:.0%} of the logits' spread; report this model")
    if not (folder / "README.md").is_file():
        (folder / "README.md").write_text(_card(source.name, weights.bits), encoding="utf-8")
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    manifest = {
        "format": FORMAT, "graph": VERSION, "bits": weights.bits, "parameters": weights.parameters,
        "weights": hashlib.blake2b((folder / WEIGHTS).read_bytes(), digest_size=16).hexdigest(), "files": files,
        "grammar": {name.lower(): getattr(grammar, name) for name in ("MAX_CALLS", "MAX_STRING", "MAX_ITEMS", "MAX_NUMBER", "SMALLEST_STEP")},
        "alignment_heads": [[layer, head] for layer, heads in aligned_heads(shape).items() for head in heads],
        "check": asdict(check) if check else None,
    }  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return Exported({**files, MANIFEST: (folder / MANIFEST).stat().st_size}, check)


def _check(folder: Path, requests: Sequence[Request], trained: Mapping[str, Engine] | None, say: Callable[[str], None]) -> Check:
    say(f"answering {len(requests)} rows with the export")
    tokenizer, engine = load_tokenizer(folder), OnnxEngine(folder)
    answers = StudentCaller(engine, tokenizer).answer(requests)
    kept = [place for place, answer in enumerate(answers) if answer.raw]
    if not trained:
        return Check(len(kept), None, None, None)
    same: dict[str, int] = {}
    for name, other in trained.items():
        say(f"answering them with the {'checkpoint' if name == 'source' else 'stored weights'} in torch")
        expected = StudentCaller(other, tokenizer).answer(requests)
        same[name] = sum(list(expected[place]) == list(answers[place]) for place in kept)
    rows = [(render_tools(tokenizer, requests[place].tools), render_request(tokenizer, requests[place])) for place in kept[:8]]
    files = OnnxEngine(folder, fast=False)  # the graphs as other runtimes run them
    noise = max(_noise(one, trained["stored"], rows) for one in (engine, files)) if rows else None
    return Check(len(kept), same["source"], same["stored"], noise)


def _noise(engine: Engine, reference: Engine, rows: Sequence[tuple[list[int], list[int]]]) -> float:
    """Median difference of first logits over their standard deviation."""
    logits = [
        np.concatenate([one.stepper([tools], [request], [0]).step([[SPECIAL_IDS[BOS]]]) for tools, request in rows]) for one in (engine, reference)
    ]
    return float(np.median(np.abs(logits[0] - logits[1])) / logits[1].std())


def _card(name: str, bits: int) -> str:
    return (
        f"# {name}, {bits} bits\n\nA tool-calling student exported by [needle](https://pypi.org/project/needle-distill). Run it with\n"
        f'`needle run "..." --tools tools.json --model FOLDER`, or in Python with `needle.load(FOLDER)`.\n'
    )
