"""Models as ONNX files, to be run by any of its runtimes: ``numbagrad.onnx.export``.

    numbagrad.onnx.export(model, (x,), "model.onnx", input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "batch"}})

The model runs once on example inputs, in evaluation mode, and what it computes is recorded (see ``_record``); so Python's branches and loops are fixed as
they went.  What is not known how to write in ONNX is an error that names it, never a constant.  Adding an operation is one entry (see ``_table``):

    @numbagrad.onnx.entry("relu")
    def _(g, y, input, inplace=False):
        return g.op("Relu", input)
"""

from __future__ import annotations

from . import _layers, _pointwise, _shapes  # noqa: F401  they fill the table
from ._export import export
from ._graph import OnnxExporterError, UnsupportedOperatorError
from ._table import entry

__all__ = ["OnnxExporterError", "UnsupportedOperatorError", "entry", "export"]
