"""A checkpoint becomes the folder that a device runs, ``needle export``: stored weights, graphs, and a check on real rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from needle.device.export import Exported, finish_export, put_in_place, room_for
from needle.device.weights import WeightsFile
from needle.errors import UserError
from needle.models import checkpoint_folder, open_engine, require_torch
from needle.student.shape import CONFIG, WEIGHTS, Shape
from needle.student.tokenizer import load_tokenizer, write_tokenizer
from needle.traces import Trace

BITS = (4, 8, 16, 32)
FOLLOWING = ("README.md", "calibration.json", "retrieval.safetensors", "prior.json")
"""Files that follow a checkpoint into its export, if it has them."""
VALIDATION = Path(__file__).parents[1] / "data" / "traces" / "validation.jsonl.gz"
"""Rows on which exports are checked, in the source tree."""


def export_quantized(model: str | None, out: Path, bits: int) -> int:
    """Store a checkpoint with weights of 4, 8, 16 or 32 bits, its tokenizer and card beside; returns the bytes of the weights file.

    A checkpoint that has that width already is copied, without torch.

    Raises:
        UserError: another width, no checkpoint there, or an output folder that is the checkpoint itself.
    """
    if bits not in BITS:
        raise UserError(f"--bits {bits}: weights are stored with {', '.join(map(str, BITS[:-1]))} or {BITS[-1]} bits")
    folder = checkpoint_folder(model)
    if out.exists() and out.samefile(folder):
        raise UserError(f"{out}: that is the checkpoint itself; give another --out")
    Shape.read(folder)
    tokenizer = load_tokenizer(folder)
    if WeightsFile.read(folder).bits == bits:
        out.mkdir(parents=True, exist_ok=True)
        for name in (CONFIG, WEIGHTS):
            shutil.copyfile(folder / name, out / name)
    else:
        require_torch("storing weights with another width")
        from needle.student.modeling.storage import load_model, save_quantized

        save_quantized(load_model(folder), out, bits)
    write_tokenizer(tokenizer, out / "tokenizer.json")
    for name in FOLLOWING:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)
    return (out / WEIGHTS).stat().st_size


def check_rows(files: Sequence[str] | None, most: int) -> list[Trace]:
    """``most`` rows, spread evenly over ``files`` (None: the recorded validation traces, where the source tree is at hand)."""
    if most == 0 or (files is None and not VALIDATION.is_file()):
        return []
    from needle.traces.read import read_traces

    rows, problems = read_traces(files or [str(VALIDATION)])
    if not rows:
        raise UserError(f"{files}: no row to check the export on ({problems[0] if problems else 'the file is empty'}); --check 0 leaves the check out")
    return rows[:: max(len(rows) // most, 1)][:most]


def export(
    model: str | None, out: Path, bits: int = 4, *, rows: Sequence[Trace] = (), say: Callable[[str], None] = lambda _: None
) -> Exported:
    """Make the folder that a device, a browser or a C program runs: weights, graphs, tokenizer, manifest. Written beside, then put in place.

    Args:
        rows: answered by the checkpoint and by the export; what differs is reported and goes into the manifest.
        say: told what is being done.

    Raises:
        UserError: see ``export_quantized``; also an ``out`` that holds something else, and an export that does not answer like its weights.
    """
    try:
        with room_for(out) as fresh:
            say(f"storing {bits}-bit weights")
            export_quantized(model, fresh, bits)
            source = checkpoint_folder(model)
            trained = None
            if rows and find_spec("torch") is not None and find_spec("transformers") is not None:
                trained = {"source": open_engine(source, "torch"), "stored": open_engine(fresh, "torch")}
            made = finish_export(fresh, source, [row.request for row in rows], trained, say)
            put_in_place(fresh, out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror or error}); nothing was changed there") from error
    return made
