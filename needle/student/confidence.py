"""How likely the calls are right: a small logistic model over what the decoder was sure of, fitted on rows that it was not trained on.

    calibration = Calibration.load(folder)          # None where the checkpoint has none
    calibration.confidence(features(decoded, tokenizer))

The raw probability of an answer is too high or too low for what it is worth (Guo et al., 2017, "On Calibration of Modern Neural Networks").
Several models are tried on held-out folds and the best is kept: the raw probability as it is, linear in it, beta calibration (Kull et al., 2017: linear in log p
and log(1 - p)), one that also looks at the weakest choice, the names of the tools and the number of calls, and what a second look (``needle.student.reranking``) found.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student.beside import read_beside, write_beside
from needle.student.decoding import Decoded
from needle.student.newton import newton
from needle.student.tokenizer import CALL, NONE, SPECIAL_IDS

FILE = "calibration.json"
FORMAT = 1
FLOOR = -12.0
"""Log-probabilities below this count as this: one absurd token must not outweigh everything."""
MODELS = (
    ("probability",), ("total", "rest"), ("probability", "least", "name", "none", "calls"), ("share",), ("probability", "least", "name", "none", "calls", "share"),
)  # fmt: skip
"""Features of each model that is fitted; beside them the raw probability is tried, which few rows may not improve."""
FEATURES = tuple(dict.fromkeys(name for model in MODELS for name in model))
FOLDS = 5
"""Parts into which the rows are cut, whole groups together, to choose a model."""
RIDGE = 1.0
"""Weight of the squared slopes (of features of unit variance) in the fit."""


def features(decoded: Decoded, tokenizer: Tokenizer, share: float | None = None) -> dict[str, float]:
    """What ``FEATURES`` name, of an answer decoded under its grammar.

    ``probability`` of the whole answer, ``total`` its logarithm and ``rest`` that of the other answers together; ``least``: probability of the
    weakest choice; ``name``: of the choices within names of tools; ``none``: 1 for no call; ``calls``: their number; ``share``: that of the answer among those
    that it was chosen from in a second look, its probability where there was none.
    """
    chosen = [choice.log_probability for choice in decoded.choices] or [FLOOR]
    within = _names(decoded.ids, tokenizer)
    probability = math.exp(sum(chosen))
    return {
        "probability": probability,
        "total": max(sum(chosen), FLOOR),
        "rest": math.log(max(1 - probability, math.exp(FLOOR))),
        "least": math.exp(min(chosen)),
        "name": math.exp(sum(choice.log_probability for choice in decoded.choices if choice.place in within)),
        "none": float(decoded.ids[:1] == [SPECIAL_IDS[NONE]]),
        "calls": float(decoded.ids.count(SPECIAL_IDS[CALL])),
        "share": probability if share is None else share,
    }


def _names(ids: Sequence[int], tokenizer: Tokenizer) -> set[int]:
    """Places of tokens within tool names: from ``<call>`` to the brace that opens the arguments."""
    openers = {tokenizer.token_to_id(text) for text in ('{"', "{")}
    found: set[int] = set()
    inside = False
    for place, token in enumerate(ids):
        if token == SPECIAL_IDS[CALL]:
            inside = True
        elif token in openers:
            inside = False
        elif inside:
            found.add(place)
    return found


@dataclass(frozen=True)
class Calibration:
    """Logistic model of "the calls are right" over standardised features."""

    features: tuple[str, ...]
    """Which of ``FEATURES``, in the order of the numbers below."""
    mean: tuple[float, ...]
    """Subtracted from each feature."""
    scale: tuple[float, ...]
    """What each is then divided by."""
    weights: tuple[float, ...]
    """Slope of each."""
    bias: float
    """Intercept."""
    fitted_on: dict[str, Any] = field(default_factory=dict)
    """Where it comes from: ``rows``, ``right``, ``source``; ``ece`` and ``brier`` before and after, on rows left out of the fit."""

    def confidence(self, found: Mapping[str, float]) -> float:
        """Probability that the calls are right, between 0 and 1."""
        values = ((found[name] - mean) / scale for name, mean, scale in zip(self.features, self.mean, self.scale, strict=True))
        score = self.bias + sum(weight * value for weight, value in zip(self.weights, values, strict=True))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))

    def save(self, folder: Path) -> None:
        """Write ``calibration.json`` beside the weights, numbers rounded to six digits: whole or not at all."""
        write_beside(folder, FILE, (json.dumps({"format": FORMAT, **_rounded(asdict(self))}, indent=1) + "\n").encode())

    @classmethod
    def load(cls, folder: Path) -> Calibration | None:
        """The calibration of a checkpoint or export folder, None where there is none. Raises ``UserError`` for a file that is none."""
        return read_beside(folder, FILE, cls._read, "not a calibration", "make it anew with `needle calibrate`")

    @classmethod
    def _read(cls, path: Path) -> Calibration:
        read = json.loads(path.read_text(encoding="utf-8"))
        if read.pop("format") != FORMAT:
            raise ValueError("another format")
        numbers = {name: tuple(map(float, read[name])) for name in ("mean", "scale", "weights")}
        made = cls(tuple(read["features"]), **numbers, bias=float(read["bias"]), fitted_on=read["fitted_on"])
        sizes = {len(made.features), len(made.mean), len(made.scale), len(made.weights)}
        if len(sizes) != 1 or not set(made.features) <= set(FEATURES) or 0 in made.scale:
            raise ValueError("its features are not ours")
        return made


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return {key: _rounded(item) for key, item in value.items()} if isinstance(value, dict) else value


def fit(rows: Sequence[Mapping[str, float]], right: Sequence[bool], groups: Sequence[Hashable]) -> tuple[Calibration, list[float]]:
    """The calibration of answers with known outcome, and the confidence of each by a model that saw no row of its group.

    The model of ``MODELS`` with the best log-likelihood on folds that it did not see is fitted to all rows; where the raw probability does as
    well, it is kept (log p - log(1 - p) is its logit). The same rows give the same numbers.

    Args:
        rows: ``features`` of each answer.
        right: whether its calls are right.
        groups: rows of one group (a toolset) are in one fold.

    Raises:
        UserError: fewer than 20 rows, or all right or all wrong: nothing can be fitted.
    """
    if len(rows) < 20 or len(set(right)) < 2:
        raise UserError(f"{len(rows)} answers, {sum(right)} right: confidence is fitted on at least 20, right and wrong ones among them")
    order = {group: place for place, group in enumerate(sorted(set(groups), key=str))}
    if len(order) < FOLDS:
        order, groups = {place: place for place in range(len(rows))}, range(len(rows))
    folds = np.array([order[group] % FOLDS for group in groups])
    hits = np.array(right, dtype=float)
    tried = [(names, _held_out(names, rows, hits, folds)) for names in MODELS]
    names, held = min(tried, key=lambda one: _loss(one[1], hits))
    raw = np.array([row["probability"] for row in rows])
    if _loss(raw, hits) <= _loss(held, hits):
        facts = {"rows": len(rows), "right": int(hits.sum())}
        return Calibration(("total", "rest"), (0.0, 0.0), (1.0, 1.0), (1.0, -1.0), 0.0, facts), raw.tolist()
    return _fitted(names, rows, hits), held.tolist()


def _held_out(names: Sequence[str], rows: Sequence[Mapping[str, float]], hits: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Confidence of each row by a model fitted on the other folds."""
    held = np.zeros(len(rows))
    for fold in range(FOLDS):
        inside = [place for place in range(len(rows)) if folds[place] != fold]
        model = _fitted(names, [rows[place] for place in inside], hits[inside])
        for place in np.flatnonzero(folds == fold):
            held[place] = model.confidence(rows[place])
    return held


def _loss(held: np.ndarray, hits: np.ndarray) -> float:
    held = np.clip(held, 1e-6, 1 - 1e-6)
    return float(-(hits * np.log(held) + (1 - hits) * np.log(1 - held)).mean())


def _fitted(names: Sequence[str], rows: Sequence[Mapping[str, float]], hits: np.ndarray) -> Calibration:
    """Penalised maximum likelihood by Newton's method."""
    matrix = np.array([[row[name] for name in names] for row in rows])
    mean, scale = matrix.mean(0), matrix.std(0)
    scale[scale < 1e-9] = 1.0
    weights = _logistic((matrix - mean) / scale, hits)
    facts = {"rows": len(rows), "right": int(hits.sum())}
    return Calibration(tuple(names), tuple(mean.tolist()), tuple(scale.tolist()), tuple(weights[:-1].tolist()), float(weights[-1]), facts)


def _logistic(matrix: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """Slopes and, last, the intercept."""
    design = np.column_stack((matrix, np.ones(len(matrix))))
    penalty = np.diag([*[RIDGE] * matrix.shape[1], 1e-6])

    def at(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probability = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (hits - probability) - penalty @ weights
        return slope, design.T @ (design * (probability * (1 - probability))[:, None]) + penalty

    return newton(np.zeros(design.shape[1]), at, 4.0)
