"""Soft labels from an endpoint like vLLM's: the same as from the model in the loop, asked once, kept, and refused when
they cannot be right."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import torch
from hf_helpers import TRACES
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from needle.errors import UserError
from needle.hf.load import load_causal
from needle.hf.rows import Renderer
from needle.hf.targets import EndpointTargets
from needle.hf.trainer import Teaching, collate, loss_of
from needle.teacher import Teacher, TeacherConfig
from needle.teacher.scoring import score_texts
from needle.traces import write_traces
from needle.train.losses import SoftTargets, soft_label_loss


class Endpoint:
    """A server that answers ``/completions`` as vLLM does, by a real (tiny) model; ``script`` holds the status of
    the first answers."""

    def __init__(self, model, tokenizer, script: tuple[int, ...] = (), spoil: str = "") -> None:
        self.model, self.tokenizer, self.script, self.spoil, self.seen = model, tokenizer, list(script), spoil, []
        self.app = Starlette(routes=[Route("/v1/completions", self.complete, methods=["POST"])])

    async def complete(self, request) -> JSONResponse:
        body = json.loads(await request.body())
        self.seen.append(body)
        status = self.script.pop(0) if self.script else 200
        if status != 200:
            return JSONResponse({"error": {"message": "busy"}}, status_code=status)
        ids, k = body["prompt"], body["prompt_logprobs"]
        with torch.no_grad():
            said = self.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        places: list = [None]
        for place, token in enumerate(ids[1:]):
            named = {*said[place].topk(k).indices.tolist(), token}  # vLLM adds the token that is there
            order = sorted(named, key=lambda one: -said[place, one])
            places.append(
                {
                    str(one): {"logprob": said[place, one].item(), "rank": n + 1, "decoded_token": self._word(one)}
                    for n, one in enumerate(order)
                }
            )
        return JSONResponse(
            {"choices": [{"index": 0, "text": "x", "prompt_logprobs": None if self.spoil == "none" else places}]}
        )

    def _word(self, token: int) -> str:
        return self.tokenizer.decode([token]) if self.spoil != "vocabulary" else f"<{token}>"


@pytest.fixture(scope="module")
def taught(tiny_causal):
    """A teacher, a student of the same tokenizer, and the student's rows."""
    teacher, student = (load_causal(f"hf:{tiny_causal('qwen', seed=seed)}", exact=True) for seed in (5, 0))
    return teacher, student, Renderer(student.tokenizer, 4096, student.ends).rows(TRACES)


def _ask(endpoint: Endpoint):
    def ask(texts, keep) -> None:
        async def work() -> None:
            config = TeacherConfig(base_url="http://localhost:9/v1", model="big", backoff_s=0.0, max_attempts=3)
            async with Teacher(config, transport=httpx2.ASGITransport(endpoint.app)) as teacher:
                await score_texts(teacher, texts, 8, keep, lambda token: endpoint.tokenizer.decode([token]))

        asyncio.run(work())

    return ask


def test_what_the_endpoint_says_is_what_the_model_says(taught, tmp_path: Path) -> None:
    teacher, student, rows = taught
    endpoint = Endpoint(teacher.model.eval(), teacher.tokenizer, script=(503, 429))
    said = EndpointTargets(tmp_path / "teacher.jsonl", "big", 8, student.tokenizer)
    assert said.complete(rows, _ask(endpoint)) == 4 and len(endpoint.seen) == 6, "two were asked again"
    found = loss_of(student.model.eval(), collate(rows, range(4), 0), rows, Teaching(said=said, weight=1.0), 259)[
        "soft_loss"
    ][1]
    expected = 0.0
    for row in rows:
        logits, theirs = (
            model(torch.tensor([row.ids])).logits[0, len(row.prompt) - 1 : -1]
            for model in (student.model, teacher.model)
        )
        best = theirs.softmax(-1).topk(8)
        expected += soft_label_loss(logits, SoftTargets(best.values, best.indices), torch.ones(len(row.answer)))
    assert found.item() == pytest.approx(expected.item(), rel=1e-3) and found.item() > 0.1


def test_rows_are_asked_once_and_a_killed_run_asks_for_the_rest(taught, tmp_path: Path) -> None:
    teacher, student, rows = taught
    endpoint, path = Endpoint(teacher.model.eval(), teacher.tokenizer), tmp_path / "teacher.jsonl"
    EndpointTargets(path, "big", 8, student.tokenizer).complete([*rows, *rows], _ask(endpoint))
    lines = path.read_text().splitlines(keepends=True)
    assert len(endpoint.seen) == 4 and len(lines) == 5
    path.write_text("".join(lines[:3]) + lines[3][:40])  # killed while the third row was written
    again = EndpointTargets(path, "big", 8, student.tokenizer)
    assert again.complete(rows, _ask(endpoint)) == 2 and sorted(path.read_text().splitlines()) == sorted(
        "".join(lines).splitlines()
    )
    assert EndpointTargets(path, "big", 8, student.tokenizer).complete(rows, _ask(endpoint)) == 0
    with pytest.raises(UserError, match="another model and k"):
        EndpointTargets(path, "bigger", 4, student.tokenizer)


@pytest.mark.parametrize(
    ("spoil", "script", "words"),
    [
        ("vocabulary", (), "another tokenizer"),
        ("none", (), "prompt_logprobs"),
        ("", (401,), "key"),
        ("", (500,) * 9, "500"),
    ],
)
def test_an_endpoint_that_cannot_teach_is_told_in_one_line(
    taught, tmp_path: Path, spoil: str, script: tuple, words: str
) -> None:
    teacher, student, rows = taught
    endpoint = Endpoint(teacher.model.eval(), teacher.tokenizer, script, spoil)
    said = EndpointTargets(tmp_path / "teacher.jsonl", "big", 8, student.tokenizer)
    with pytest.raises(Exception, match=words) as error:
        said.complete(rows[:1], _ask(endpoint))
    assert isinstance(error.value, UserError) or script == (500,) * 9
    assert not said.known


@contextmanager
def _served(app) -> Iterator[str]:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join()


def test_the_command_learns_from_an_endpoint(cli, taught, tiny_causal, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("needle.distil_hf._judge", lambda *_: lambda student: 0.0)
    teacher, _, _ = taught
    write_traces(tmp_path / "train.jsonl", TRACES[:2])
    write_traces(tmp_path / "validation.jsonl", TRACES[2:3])
    with _served(Endpoint(teacher.model.eval(), teacher.tokenizer).app) as url:
        outcome = cli("train", "--base", f"hf:{tiny_causal('qwen')}", "--traces", tmp_path, "--out", tmp_path / "run", "--steps", 1, "--rows", 2,
                      "--loss", "soft", "--teacher", f"{url}#big")  # fmt: skip
    assert outcome.code in (0, 1), outcome.err
    assert len((tmp_path / "run" / "teacher.jsonl").read_text().splitlines()) == 3
