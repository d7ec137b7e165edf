"""What goes on beside a training run: curves, sample answers, and at each validation the report and the model card."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from needle.runs import write_run_report

if TYPE_CHECKING:
    from needle.traces import Trace

BUNDLED_NAME = "the bundled base"
"""What a run that starts from the package's own checkpoint calls it."""


class Watch:
    """What a run calls with each record: curves, sample answers, and at each validation the report and the model
    card."""

    def __init__(
        self,
        out: Path,
        curves: Sequence[Any],
        samples: Callable[[], list[dict[str, Any]]],
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        """``samples``: the answers of the validation that just ended; ``report``: gets every record, with ``samples``
        where there are any."""
        self.out, self.curves, self.samples, self.report = out, list(curves), samples, report

    def __call__(self, record: dict[str, Any]) -> None:
        """Take one record of the run."""
        for curve in self.curves:
            curve(record)
        if "validation_exact" in record:
            record = record | {"samples": self._validated(record["step"])}
        self.report(record)

    def _validated(self, step: int) -> list[dict[str, Any]]:
        from needle.traces.write import dump_json
        from needle.train.card import write_card
        from needle.train.history import SAMPLES, open_lines

        answers = [{"step": step, **answer} for answer in self.samples()]
        if answers:
            with open_lines(self.out / SAMPLES) as file:
                file.writelines(dump_json(answer) + "\n" for answer in answers)
        write_run_report(self.out)
        write_card(self.out)
        return answers

    def close(self) -> None:
        """Flush the curves."""
        for curve in self.curves:
            curve.close()


def watch_run(
    trainer: Any,
    rows: Sequence[Trace],
    origin: Mapping[str, Any],
    logs: Sequence[str],
    report: Callable[[dict[str, Any]], None],
) -> Watch:
    """A ``Watch`` over ``trainer``, with ``run.json`` written into its folder; silent in all processes but the first.

    ``rows``: what is trained on, replayed rows left out. ``origin``: ``start`` (name of a checkpoint, or ``none``),
    ``preset``, ``loss``,
    names of ``teachers``, ``data`` (paths and weights). Raises ``UserError`` for a log that is unknown or not
    installed.
    """
    from needle.train.curves import open_curves
    from needle.train.facts import write_facts
    from needle.train.history import FACTS

    if not trainer.world.first:
        return Watch(trainer.out, [], list, report)
    trainer.out.mkdir(parents=True, exist_ok=True)
    curves = open_curves(trainer.out, logs, trainer.config.to_dict())
    if (
        trainer.step == 0 or not (trainer.out / FACTS).is_file()
    ):  # a run that is continued was made of what it began with
        write_facts(trainer.out, _about(trainer, rows, origin))
    return Watch(trainer.out, curves, getattr(trainer.validate, "take_samples", list), report)


def _about(trainer: Any, rows: Sequence[Trace], origin: Mapping[str, Any]) -> dict[str, Any]:
    from needle.models import checkpoint_folder
    from needle.train.facts import authors, checkpoint_facts, data_facts, licences, machine_facts

    def named(name: str) -> dict[str, Any]:
        folder = name.rpartition("@")[0] if "@" in name and not Path(name).exists() else name
        return checkpoint_facts(name, checkpoint_folder(None if name == BUNDLED_NAME else folder))

    start, config = origin["start"], trainer.config.to_dict()
    known = {
        "too_long": trainer.examples.too_long,
        "toolsets": len(trainer.examples.groups),
        "validation": len(trainer.validate.traces),
    }
    return {
        "start": {"name": f"random weights of preset {origin['preset']}"} if start == "none" else named(start),
        "loss": origin["loss"],
        "teachers": [named(name) for name in origin["teachers"]],
        "data": data_facts(origin["data"]),
        "rows": {"train": len(rows), "replayed": origin.get("replayed", 0), "unusable": origin.get("unusable", 0)}
        | known,
        "authors": authors(rows),
        "licences": licences(rows),
        "parameters": trainer.model.parameter_groups(),
        "shape": {
            key: getattr(trainer.model.config, key)
            for key in ("num_encoder_layers", "num_decoder_layers", "hidden_size", "vocab_size")
        },
        "settings": json.loads(json.dumps(config)),
        "machine": machine_facts(trainer.model.device, trainer.world.size),
    }
