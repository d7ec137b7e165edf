"""``OnnxEngine``: a student's folder behind a ``StudentCaller``, in ONNX Runtime, without torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from needle.device.encoder import Encoder, FusedEncoder
from needle.device.flat import FlatStepper, hidden_bias
from needle.device.fused_graphs import fused_encoder_graph, head_graph, single_graph
from needle.device.graphs import DECODER, ENCODER, VERSION, decoder_graph, encoder_graph, pair
from needle.device.manifest import check_manifest
from needle.device.prepared import Prepared, ToolsetCache
from needle.device.single import Head, Singles, SingleStepper
from needle.device.stepper import KeysValues, OnnxStepper, numpy_of, values_of
from needle.device.weights import WeightsFile
from needle.device.whole_int8 import column_integers
from needle.errors import UserError
from needle.student.retrieval import Source, pooled_layers
from needle.student.shape import WEIGHTS, Shape

QUICK_SCORES = "ORT_MLAS_QKGEMM_S8_APPROX_VNNI"
"""With 1 in the environment, products of queries and 8-bit keys round the queries to 8 bits as well (on CPUs with VNNI); read once a process."""
ACCURACY = 4
"""``accuracy_level`` of ``MatMulNBits``: activations rounded to 8 bits in groups of 32. (0 computes in fp32.)"""


class OnnxEngine:
    """Two sessions over one weights file. Runs from any number of threads; encoded toolsets are kept."""

    def __init__(self, folder: Path, *, threads: int = 1, cache: ToolsetCache | None = None, fast: bool = True) -> None:
        """Load ``folder``: its graphs if it was exported, else graphs made for it now.

        Args:
            folder: a checkpoint or an exported model.
            threads: threads of one run of the model.
            fast: if the weights are integers, the encoder and single answers through graphs of their own (see ``fused_graphs``), the encoder's
                matrices in 8 bits (see ``whole_int8``); else the graphs as other runtimes run them.
            cache: where encoded toolsets are kept; None: in memory only.

        Raises:
            UserError: no student there, damaged or of another version.
        """
        self.manifest = check_manifest(folder)
        self.folder, self.config = folder, Shape.read(folder)
        self.weights = WeightsFile.read(folder)
        if not self.config.shares_toolsets:
            raise UserError(f"{folder}: its tools see the request, so they cannot be encoded apart; run it with engine='torch'")
        self.cache = cache or ToolsetCache(None)
        self._threads = threads
        fused = self._fused() if fast and self.weights.bits <= 8 else None
        self._reader, self._single = fused or (Encoder(self._session(ENCODER), self.config), None)
        if not fused:
            self._decoder  # noqa: B018 - a folder that does not run is refused now
        self._hidden = hidden_bias(folder, self.config, self.weights)

    def _options(self) -> ort.SessionOptions:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = self._threads, 1, 3
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(self.folder))
        return options

    def _fused(self) -> tuple[FusedEncoder, Singles] | None:
        """The encoder and what runs single answers; None for an ONNX Runtime that is too old for their graphs."""
        os.environ.setdefault(QUICK_SCORES, "1")
        options = [self._options() for _ in range(3)]
        values = values_of(column_integers(self.folder, self.config, self.weights))
        options[0].add_external_initializers(list(values), list(values.values()))
        try:
            encoder, body, head = (
                ort.InferenceSession(make(self.config, self.weights, ACCURACY), option, providers=["CPUExecutionProvider"])
                for make, option in zip((fused_encoder_graph, single_graph, head_graph), options, strict=True)
            )
        except Exception:  # noqa: BLE001 - the runtime's own exceptions share no base class
            return None
        self._handed_over = values  # the session does not own them
        return FusedEncoder(encoder, self.config), Singles(body, Head(head, self.folder, self.weights), self.config)

    @cached_property
    def _decoder(self) -> ort.InferenceSession:
        """The decoder of batches, and of single answers that the fast way does not serve; made when it is first needed."""
        return self._session(DECODER)

    @cached_property
    def _flat(self) -> bool:
        """Whether that graph can run several answers as one row."""
        return next(value.shape[2] for value in self._decoder.get_inputs() if value.name == "source_bias") != 1

    def _session(self, file: str) -> ort.InferenceSession:
        path = self.folder / file
        try:
            model = path.read_bytes() if path.is_file() else make_graph(file, self.config, self.weights)
            session = ort.InferenceSession(model, self._options(), providers=["CPUExecutionProvider"])
        except UserError:
            raise
        except Exception as error:  # the runtime's own exceptions share no base class
            reason = str(error).splitlines()[0][:200]
            raise UserError(f"{path if path.is_file() else self.folder}: not a graph that runs ({reason}); export the model again") from error
        version = session.get_modelmeta().custom_metadata_map.get("needle_graph")
        if version != VERSION:
            raise UserError(f"{path}: graphs of version {version}, this needle runs version {VERSION}; export the model again")
        return session

    @cached_property
    def digest(self) -> str:
        """Fingerprint of the weights and of how they are run."""
        state = hashlib.blake2b((self.folder / WEIGHTS).read_bytes(), digest_size=16)
        state.update(f"{VERSION} {ort.__version__} {self.config}".encode())
        return state.hexdigest()

    def prepare(self, toolset: Sequence[int], keep: bool = True) -> Prepared:
        """The toolset's keys and values, from the cache where it has them; ``keep``: put them on its disk as well."""
        return self.cache.get(toolset, lambda: self.digest, lambda: self._encode_tools(toolset), keep)

    def _encode_tools(self, toolset: Sequence[int]) -> Prepared:
        return self._reader.tools(toolset)

    def pooled(self, sources: Sequence[Source], keep: bool | None = None) -> np.ndarray:
        """See ``needle.student.caller.Engine.pooled``."""

        def make() -> np.ndarray:
            return np.stack([self._mean(*one) for one in sources])

        return make() if keep is None else self.cache.means(sources, lambda: self.digest, make, keep)

    def _mean(self, tools: Sequence[int], request: Sequence[int]) -> np.ndarray:
        """Mean over the request's tokens (the tools', where it is empty) of the values that the first decoder layers read."""
        before = self.prepare(tools, keep=False) if request else None
        found = self._reader.request(request or tools, before, "cross")
        values = [found[pair("cross", layer)[1]].numpy() for layer in range(pooled_layers(self.config))]
        return np.concatenate([value.mean(2).ravel() for value in values])

    def stepper(
        self, toolsets: Sequence[Sequence[int]], requests: Sequence[Sequence[int]], toolset_of: Sequence[int], align: bool = False
    ) -> SingleStepper | OnnxStepper | FlatStepper:
        """See ``needle.student.caller.Engine.stepper``."""
        prepared = [self.prepare(toolset, keep=False) for toolset in toolsets]
        sources = [prepared[number] for number in toolset_of]
        own = [self._reader.request(ids, of, "request") for ids, of in zip(requests, sources, strict=True)]
        if self._single and len(requests) == 1 and not align:
            return SingleStepper(self._single, sources[0].rounded, own[0], lambda: self._batch(prepared, own, toolset_of, False))
        return self._batch(prepared, own, toolset_of, align)

    def _batch(self, prepared: Sequence[Prepared], own: list[KeysValues], toolset_of: Sequence[int], align: bool) -> OnnxStepper | FlatStepper:
        """A stepper for any number of rows, from encoded toolsets and requests."""
        sources = [prepared[number] for number in toolset_of]
        lengths = [part["request_key_0"].shape()[2] for part in own]
        if self._flat and len(own) >= 2 * len(prepared):
            return FlatStepper(self._decoder, self.config, [one.decoder for one in prepared], own, toolset_of, self._hidden, align)
        request, request_real = _padded(own, lengths, len(own))
        shared = prepared if len(prepared) == 1 else sources
        tools, real = _padded([one.decoder for one in shared], [one.length for one in sources], len(own))
        return OnnxStepper(self._decoder, self.config, tools, request, (real, request_real), self._hidden, align)

    def facts(self) -> dict[str, Any]:
        """Number of parameters and bytes of the weights file."""
        return {"parameters": self.weights.parameters, "bytes": self.weights.size}


def make_graph(file: str, shape: Shape, weights: WeightsFile, accuracy_level: int | None = None) -> bytes:
    """``encoder.onnx`` or ``decoder.onnx`` for a weights file."""
    return {ENCODER: encoder_graph, DECODER: decoder_graph}[file](shape, weights, ACCURACY if accuracy_level is None else accuracy_level)


def _padded(parts: list[KeysValues], lengths: Sequence[int], rows: int) -> tuple[KeysValues, np.ndarray]:
    """Rows of keys and values on top of each other, padded at the end, and which places ``[rows, longest]`` are real."""
    longest = max(lengths)
    real = np.arange(longest) < np.array(lengths)[:, None]
    if len(parts) == 1:
        return parts[0], np.broadcast_to(real, (rows, longest)) if len(real) == 1 else real
    arrays = [numpy_of(part) for part in parts]
    stacked = {}
    for name, first in arrays[0].items():
        target = stacked[name] = np.zeros((rows, first.shape[1], longest, first.shape[3]), dtype=np.float32)
        for row, array in enumerate(arrays):
            target[row, :, : array[name].shape[2]] = array[name]
    return values_of(stacked), real
