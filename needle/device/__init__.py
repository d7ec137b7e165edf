"""The student on a device: ONNX graphs over its one weights file, run by ONNX Runtime. Nothing here needs torch.

``onnx_file`` writes the format, ``weights`` finds tensors in ``model.safetensors``, ``graphs`` is the model (``fused_graphs``: in
the operators of newer runtimes), ``engine``, ``encoder`` and ``stepper`` run it (``single``: one answer at a time), ``prepared`` keeps encoded
toolsets, ``export`` makes the folder that is shipped.
"""
