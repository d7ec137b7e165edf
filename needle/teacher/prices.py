"""Prices from a list that others keep: the JSON map of LiteLLM (thousands of models, dollars a token) as lines for a
profile file. It is read from a file of yours; nothing is fetched, and no price comes with needle, for they change.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.teacher.config import Prices

MILLION = 1_000_000


def read_price_list(path: Path, names: Sequence[str]) -> dict[str, Prices]:
    """Prices of the named models.

    Args:
        path: JSON, model name to ``input_cost_per_token`` and so on (LiteLLM's
        ``model_prices_and_context_window.json``).
        names: models; all of one provider when it ends in ``/*``.

    Raises:
        UserError: no such list, or a model that it does not price.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(listed, dict):
        raise UserError(f"{path}: no price list; one maps model names to their prices")
    found: dict[str, Prices] = {}
    for name in names:
        chosen = [key for key in listed if key.startswith(name[:-1])] if name.endswith("/*") else [name]
        for key in chosen:
            prices = _prices(listed.get(key))
            if prices is None and not name.endswith("/*"):
                near = [other for other in listed if name.lower() in other.lower()][:3]
                raise UserError(f"{path}: no price of {name!r}" + (f"; there is {', '.join(near)}" if near else ""))
            if prices is not None:
                found[key] = prices
    return found


def toml_line(model: str, prices: Prices) -> str:
    """A line for the table of a profile."""
    values = [f"input = {prices.input:g}", f"output = {prices.output:g}"]
    if prices.cached_input is not None:
        values.append(f"cached_input = {prices.cached_input:g}")
    if prices.batch_discount:
        values.append(f"batch_discount = {prices.batch_discount:g}")
    return f"prices.{json.dumps(model)} = {{{', '.join(values)}}}"


def _prices(entry: Any) -> Prices | None:
    """Dollars a million tokens of one entry; None where it prices no tokens."""
    if not isinstance(entry, dict):
        return None
    dollars = {
        name: entry.get(name)
        for name in (
            "input_cost_per_token",
            "output_cost_per_token",
            "cache_read_input_token_cost",
            "input_cost_per_token_batches",
        )
    }
    known = {
        name: float(value) * MILLION for name, value in dollars.items() if isinstance(value, int | float) and value >= 0
    }
    if not {"input_cost_per_token", "output_cost_per_token"} <= known.keys():
        return None
    cost, batch = known["input_cost_per_token"], known.get("input_cost_per_token_batches")
    discount = round(1 - batch / cost, 4) if batch is not None and 0 < batch <= cost else 0.0
    return Prices(
        round(cost, 6),
        round(known["output_cost_per_token"], 6),
        _rounded(known.get("cache_read_input_token_cost")),
        discount,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
