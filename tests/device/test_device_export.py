"""An export is a folder that answers like its checkpoint, says what was checked, and is refused when something of it is wrong."""

from __future__ import annotations

import errno
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import needle
from needle.device.engine import OnnxEngine
from needle.device.export import put_in_place, room_for
from needle.device.graphs import VERSION
from needle.device.manifest import MANIFEST, check_manifest
from needle.device.weights import WeightsFile
from needle.errors import UserError
from needle.export import check_rows, export
from needle.playground import LocalDesk
from needle.traces import Trace

PAGE = Path(needle.__file__).parent / "serve" / "playground" / "page"


@pytest.fixture(scope="module")
def rows(requests) -> list[Trace]:
    return [Trace(str(number), request.query, request.tools, ()) for number, request in enumerate(requests)]


@pytest.fixture(scope="module")
def exported(folders, rows, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("exports") / "small"
    (folders[32] / "calibration.json").write_text("{}")
    made = export(str(folders[32]), out, 4, rows=rows)
    (folders[32] / "calibration.json").unlink()
    assert made.check.rows == len(rows) and made.check.logit_noise < 0.25
    assert made.check.as_stored >= len(rows) - 1, made.check.line
    assert made.size == sum(path.stat().st_size for path in out.iterdir())
    return out


def test_the_folder_holds_one_copy_of_the_weights_and_everything_beside_them(exported: Path) -> None:
    names = {path.name for path in exported.iterdir()}
    assert names == {"README.md", "calibration.json", "config.json", "decoder.onnx", "encoder.onnx", "model.safetensors", MANIFEST, "tokenizer.json"}
    weights = WeightsFile.read(exported)
    assert weights.bits == 4 and (exported / "encoder.onnx").stat().st_size < 100_000
    assert check_manifest(exported)["check"]["rows"] == 6


def test_an_export_answers_like_the_weights_it_holds_and_can_be_exported_again_without_torch(exported, requests, tmp_path, monkeypatch) -> None:
    (exported / "calibration.json").write_text("{}")
    shutil.copytree(exported, tmp_path / "moved")
    (tmp_path / "moved" / "calibration.json").unlink()
    manifest = json.loads((tmp_path / "moved" / MANIFEST).read_text())
    del manifest["files"]["calibration.json"]
    (tmp_path / "moved" / MANIFEST).write_text(json.dumps(manifest))
    monkeypatch.setattr("needle.models.find_spec", lambda name: None)
    again = export(str(tmp_path / "moved"), tmp_path / "again", 4, rows=[])
    assert again.check is None
    one, other = (needle.load(tmp_path / name) for name in ("moved", "again"))
    assert [answer.raw for answer in one.answer(requests)] == [answer.raw for answer in other.answer(requests)]
    with pytest.raises(UserError, match="needs torch"):
        export(str(tmp_path / "moved"), tmp_path / "wider", 8)


@pytest.mark.parametrize(("damage", "words"), [
    (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    (lambda folder: (folder / "decoder.onnx").write_bytes(b"half"), "has 4 bytes instead of"),
    (lambda folder: (folder / MANIFEST).write_text("{"), "not a manifest"),
    (lambda folder: (folder / MANIFEST).write_text('{"format": 9, "graph": "2", "files": {}}'), "export it again"),
    (lambda folder: (folder / MANIFEST).write_text((folder / MANIFEST).read_text().replace(f'"graph": "{VERSION}"', '"graph": "1"')), "graphs 1; this needle"),
])  # fmt: skip
def test_an_incomplete_or_foreign_export_is_refused_in_one_line(exported: Path, tmp_path: Path, damage, words: str) -> None:
    shutil.copytree(exported, tmp_path / "copy")
    damage(tmp_path / "copy")
    with pytest.raises(UserError, match=words) as caught:
        needle.load(tmp_path / "copy")
    assert "\n" not in str(caught.value)


def test_what_graphs_take_and_give_belongs_to_their_version(exported: Path) -> None:
    def form(values: list) -> dict[str, int | None]:
        return {value.name.rstrip("0123456789"): len(value.shape) for value in values}

    engine = OnnxEngine(exported, fast=False)
    kept = {f"{stem}_{part}_": 4 for stem in ("tools", "request") for part in ("key", "value")}
    told = {
        "encoder": [{"ids": 2, "positions": 2, "sizes": 1, "past_key_": 4, "past_value_": 4},
                    {f"{stem}_{part}_": 4 for stem in ("own", "cross") for part in ("key", "value")}],
        "decoder": [{"ids": 2, "positions": 2, "last": 0, "bias": 4, "source_bias": 4, "sizes": 1, "past": 4, **kept}, {"logits": 0, "present": 4, "alignment": 3}],
    }  # fmt: skip
    found = {name: [form(one.get_inputs()), form(one.get_outputs())] for name, one in (("encoder", engine._reader.session), ("decoder", engine._decoder))}
    assert (VERSION, found) == ("2", told), "other inputs or outputs: raise VERSION in graphs.py and in the page's engine.js"
    assert f'const VERSION = "{VERSION}";' in (PAGE / "model" / "engine.js").read_text()


def test_what_stands_where_the_export_should_go_stays(folders, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="no export"):
        export(str(folders[4]), tmp_path / "notes", 4)
    export(str(folders[4]), tmp_path / "out", 4)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = (tmp_path / "out" / MANIFEST).read_bytes()
    monkeypatch.setattr("needle.export.shutil.copyfile", full)
    with pytest.raises(UserError, match="No space left on device"):
        export(str(folders[4]), tmp_path / "out", 4)
    assert (tmp_path / "out" / MANIFEST).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes", "out"]


def test_exports_to_one_folder_at_a_time_do_not_meet_and_what_a_killed_one_left_goes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in (".out.new-1-0", ".out.old-1-0", "out.new-ideas"):
        (tmp_path / name).mkdir()
    with room_for(out) as first, room_for(out) as second:
        assert first != second and first.is_dir() and second.is_dir() and not (tmp_path / ".out.new-1-0").exists()
        for number, fresh in enumerate((first, second)):
            (fresh / MANIFEST).write_text(str(number))
        put_in_place(first, out)
        put_in_place(second, out)
    assert (out / MANIFEST).read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.new-ideas"]


def test_many_exports_that_end_at_once_leave_one_whole_folder(tmp_path: Path) -> None:
    out, ready = tmp_path / "out", threading.Barrier(6)

    def export_one(number: int) -> None:
        with room_for(out) as fresh:
            for name in (MANIFEST, "other"):
                (fresh / name).write_text(str(number))
            ready.wait()
            put_in_place(fresh, out)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(export_one, range(6)))
    assert (out / MANIFEST).read_text() == (out / "other").read_text() and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_page_makes_an_export_of_an_older_version_again(folders, tmp_path: Path) -> None:
    desk = LocalDesk(str(folders[4]), tmp_path)
    manifest = desk.browser_model() / MANIFEST
    assert desk.browser_model() == manifest.parent and check_manifest(manifest.parent)
    manifest.write_text(manifest.read_text().replace(f'"graph": "{VERSION}"', '"graph": "0"'))
    assert json.loads((desk.browser_model() / MANIFEST).read_text())["graph"] == VERSION


def test_a_prior_that_is_fitted_later_reaches_the_page(folders, tmp_path: Path) -> None:
    desk = LocalDesk(str(folders[4]), tmp_path)
    assert not (desk.browser_model() / "prior.json").exists()
    (folders[4] / "prior.json").write_text("{}")
    assert (desk.browser_model() / "prior.json").read_text() == "{}"
    (folders[4] / "prior.json").unlink()
    assert not (desk.browser_model() / "prior.json").exists()


def test_rows_for_the_check_are_spread_over_the_recorded_traces() -> None:
    rows = check_rows(None, 8)
    assert len(rows) == 8 and len({row.toolset for row in rows}) > 4 and check_rows(None, 0) == []
