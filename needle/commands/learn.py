"""Verbs that fit: ``train``, ``calibrate``, ``teach``, ``train-base``, ``train-tokenizer``, ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from needle.commands.options import Out, Seed
from needle.terminal import say, tracker, training_tracker

app = typer.Typer()


@app.command()
def train(
    traces: Annotated[list[Path], typer.Option("--traces", help="Folder with train and validation files, or trace files; repeatable.")],
    out: Out,
    base: Annotated[str | None, typer.Option(help="Checkpoint to start from, none, or hf:PATH_OR_ID (a causal model of Hugging Face). Default: the bundled base.")] = None,
    preset: Annotated[str, typer.Option(help="Size when starting from none: nano, base or proxy.")] = "base",
    loss: Annotated[str, typer.Option(help="hard, soft (teachers, their cache, or votes of the rows), or mutual (students teach each other).")] = "hard",
    teacher: Annotated[list[str] | None, typer.Option(help="Checkpoint to learn from, or CKPT@WEIGHT; several are averaged. With mutual: a peer that learns too.")] = None,
    teacher_cache: Annotated[Path | None, typer.Option(help="With soft: what teachers said, from `needle teach`. With --teacher too, they are asked about rows it lacks.")] = None,
    on_policy: Annotated[float | None, typer.Option(help="With soft and --teacher: share of steps on the student's own answers.")] = None,
    preferences: Annotated[Path | None, typer.Option(help="Preference pairs to learn from beside the labels (SimPO).")] = None,
    dpo: Annotated[bool, typer.Option("--dpo", help="With --preferences: DPO, against the model that the run began with.")] = False,
    minutes: Annotated[float | None, typer.Option(help="Budget in minutes; the run ends within it.")] = None,
    steps: Annotated[int | None, typer.Option(help="Budget in optimiser steps.")] = None,
    bits: Annotated[int | None, typer.Option(help="Train for 4- or 8-bit weights in the cooldown.")] = None,
    rows: Annotated[int | None, typer.Option(help="Examples a step.")] = None,
    lora: Annotated[int | None, typer.Option(help="Rank of low-rank adapters to train instead of all weights (8, say); they are merged into the checkpoint.")] = None,
    shard: Annotated[bool | None, typer.Option("--shard/--no-shard", help="Under torchrun: spread weights and optimiser states over the processes. Default: from 300M parameters.")] = None,
    curves: Annotated[list[str] | None, typer.Option(help="Where curves go beside log.jsonl: tensorboard (the default), trackio, none; repeatable.")] = None,
    given: Annotated[list[str] | None, typer.Option("--set", help="Another setting, as NAME=VALUE (docs/distillation.md); repeatable.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    seed: Seed = 0,
) -> None:
    """Fit a student on traces; the checkpoint with the best held-out exact match is kept. Exit code 1: nothing better than the start was found."""
    from needle.distil import train as run
    from needle.distil_hf import train_causal

    settings = _given(minutes=minutes, steps=steps, quantize_bits=bits, rows=rows, lora=lora, on_policy=on_policy, preference="dpo" if dpo else None, shard=shard, seed=seed)
    if given:
        from needle.train.config import TrainConfig

        settings |= TrainConfig.read(given)
    with training_tracker() as progress:
        if (base or "").startswith("hf:"):
            other = [name for name, value in (("--teacher-cache", teacher_cache), ("--preferences", preferences)) if value]
            report = train_causal(traces, out, base, loss=loss, teachers=teacher or (), other=other, resume=resume, settings=settings, report=progress)
        else:
            report = run(
                traces, out, base=base, preset=preset, loss=loss, teachers=teacher or (), teacher_cache=teacher_cache, preferences=preferences,
                resume=resume, settings=settings, report=progress, logs=curves or ("tensorboard",),
            )  # fmt: skip
    _show(report)
    if (out / "report.html").is_file():
        say(f"The report is in {out / 'report.html'}")
    say(f"The checkpoint is in {out / 'best'}")
    if not report.learnt:
        raise typer.Exit(1)


@app.command()
def teach(
    traces: Annotated[list[Path], typer.Option("--traces", help="The traces that will be trained on; repeatable.")],
    teacher: Annotated[list[str], typer.Option(help="Checkpoint to ask, or CKPT@WEIGHT; several are averaged.")],
    out: Out,
    k: Annotated[int, typer.Option("--k", help="Likeliest tokens that are kept a position (or random draws).")] = 32,
    draws: Annotated[bool, typer.Option("--draws", help="Keep random draws, which are unbiased, instead of the likeliest tokens.")] = False,
    temperature: Annotated[float, typer.Option(help="Temperature of the teachers' probabilities; that of the run must be the same.")] = 1.0,
    seed: Seed = 0,
) -> None:
    """Ask teachers about every training row once; `needle train --teacher-cache` reads what they said. The same command goes on."""
    from needle.distil import teach as run

    with tracker("rows") as bar:
        new = run(traces, out, teacher, k=k, draws=draws, temperature=temperature, seed=seed, report=bar)
    say(f"{new:,} new rows\nThe teacher cache is in {out}")


@app.command("train-base")
def train_base(
    out: Out,
    data: Annotated[Path | None, typer.Option(help="Folder with the unpacked public data sets. Without it: the recorded traces alone.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes of training instead of the recipe's.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps instead of minutes.")] = None,
    rows: Annotated[int | None, typer.Option(help="Examples a step; 128 suits a CPU.")] = None,
    piece: Annotated[float | None, typer.Option(help="Stop after so many minutes; the same command goes on.")] = None,
    seed: Seed = 0,
) -> None:
    """Make the published base from its sources: mix, run, 4-bit file. The same command continues a stopped run."""
    from needle.base import train_base as run
    from needle.commands.corpora import build_mix

    changes = _given(minutes=minutes, steps=steps, rows=rows, seed=seed)
    with training_tracker() as progress:
        made = run(data, out, changes=changes, piece=piece, build=lambda config, sets, mix: build_mix(config, mix, sets), report=progress)
    _show(made.trained)
    say(f"The 4-bit checkpoint is in {made.export}" if made.export else f"A piece is done; the same command goes on. The run is in {out / 'run'}")


def _given(**options: Any) -> dict[str, Any]:
    """The settings that the command line names."""
    return {key: value for key, value in options.items() if value is not None}


def _show(report: Any) -> None:
    """What a run did, in a line or two."""
    best = ", ".join(f"{name} {value:.3f}" for name, value in report.best.items() if name != "step")
    scored = f"; best at step {report.best['step']}: {best}" if report.best else ""
    say(f"{report.steps:,} steps, {report.rows:,} rows, {report.seconds / 60:.1f} min{scored}")
    if report.warning:
        say(report.warning, error=True)


@app.command("train-tokenizer")
def train_tokenizer(
    traces: Annotated[list[Path], typer.Option("--traces", help="Trace files or folders (their train file); repeatable.")],
    out: Out,
    text: Annotated[list[Path] | None, typer.Option("--text", help="Plain-text files to learn words from; repeatable.")] = None,
    vocabulary: Annotated[int, typer.Option(min=300, help="Number of tokens.")] = 8192,
) -> None:
    """Learn the byte-level BPE vocabulary from traces and plain text."""
    from itertools import chain

    from needle.corpora.texts import file_texts, trace_texts
    from needle.student.tokenizer import write_tokenizer
    from needle.student.tokenizer import train_tokenizer as learn
    from needle.traces.read import read_traces
    from needle.traces.split import split_files

    files = [split_files(path).get("train", path) if path.is_dir() else path for path in traces]
    rows, problems = read_traces(files)
    tokenizer = learn(chain(trace_texts(rows), file_texts(text or [])), vocabulary)
    write_tokenizer(tokenizer, out)
    say(f"{tokenizer.get_vocab_size():,} tokens from {len(rows):,} traces ({len(problems)} unusable)\nThe tokenizer is in {out}")


@app.command()
def export(
    out: Out,
    model: Annotated[str | None, typer.Option("--model", help="Checkpoint folder or hub id. Default: the bundled base.")] = None,
    bits: Annotated[int, typer.Option(help="4, 8, 16 or 32: width of the stored weights.")] = 4,
    rows: Annotated[list[str] | None, typer.Option("--rows", help="Rows to check the export on. Default: the recorded validation traces.")] = None,
    check: Annotated[int, typer.Option(min=0, help="How many of them; 0: no check.")] = 32,
) -> None:
    """Write the folder that devices and browsers run: weights, ONNX graphs, tokenizer, card, and what a check on real rows found."""
    from needle.export import check_rows
    from needle.export import export as make

    made = make(model, out, bits, rows=check_rows(rows, check), say=say)
    if made.check:
        say(made.check.line)
    say(f"{made.size / 1e6:.1f} MB in {len(made.files)} files, weights of {bits} bits\nThe export is in {out}")


@app.command()
def average(
    checkpoints: Annotated[list[str], typer.Argument(help="Two or more checkpoint folders or hub ids, of one shape and tokenizer.")],
    out: Out,
    weight: Annotated[list[float] | None, typer.Option("--weight", help="Share of each, in their order. Default: all alike.")] = None,
) -> None:
    """Write the mean of several checkpoints: often better than each of them, at no cost when it runs."""
    from needle.average import average as run

    say(f"The checkpoint is in {run(checkpoints, out, weight)}")


@app.command()
def calibrate(
    traces: Annotated[list[Path], typer.Option("--traces", help="Trace files that the model was not trained on; repeatable. With --retrieval: folders with train and validation files.")],
    model: Annotated[str | None, typer.Option("--model", help="Checkpoint folder or hub id. Default: the bundled base.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the file. Default: beside the weights.")] = None,
    limit: Annotated[int | None, typer.Option(min=20, help="Most rows to answer. Default: 600, with --retrieval 3,000 to read.")] = None,
    retrieval: Annotated[bool, typer.Option("--retrieval", help="Fit instead how tools of large sets are found by meaning (needs torch).")] = False,
    seed: Seed = 0,
) -> None:
    """Fit a checkpoint's prior and confidence on held-out rows, so that 0.8 means right four times in five; or its retrieval of tools."""
    from needle.calibrate import calibrate as run
    from needle.calibrate import fit_retrieval

    if retrieval:
        with tracker("texts read") as progress:
            head = fit_retrieval(model, traces, out=out, **_given(limit=limit), seed=seed, progress=progress)
        for tools, at in head.recall.items():
            shares = ", ".join(f"{k}: {100 * found['words']:.1f} and {100 * found['both']:.1f} %" for k, found in at.items())
            say(f"called tools among the first k of {tools}, by words and with the head, k = {shares} (toolsets that neither fit nor weight saw)")
        say(f"{head.requests:,} requests, {head.tools:,} tools; weight {head.weight:g}\nThe head is in {head.file}")
        return
    with tracker("rows") as progress:
        made = run(model, traces, out=out, **_given(limit=limit), seed=seed, progress=progress)
    for words, name in (("expected calibration error", "ece"), ("Brier score", "brier")):
        say(f"{words}: {made.before[name]:.3f} raw, {made.after[name]:.3f} fitted (each row by a fit without its toolset)")
    said = {"names": "tool named", "values": "listed values", "numbers": "next token of a number", "texts": "next token of an open text", "answers": "answer of several, where one of them is"}
    for kind, words in said.items() if made.prior else ():
        rows, right = made.prior.fitted_on[kind]["rows"], made.prior.fitted_on[kind]["right"]
        shares = ", ".join(f"{100 * share:.1f} % by {who}" for who, share in right.items())
        say(f"{words} right: {shares or 'too few'} ({rows:,} choices; both: each by a fit without its toolset)")
    say(f"{made.rows:,} rows, {made.right:,} right; from {', '.join(made.features)}\nThe calibration is in {made.file}")
