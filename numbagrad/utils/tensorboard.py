"""``SummaryWriter``: curves, histograms, pictures and texts for TensorBoard, by the package ``tensorboard`` (pip install tensorboard).

from numbagrad.utils.tensorboard import SummaryWriter

with SummaryWriter("runs/first") as writer:
    writer.add_scalar("loss", 0.5, global_step=1)
"""

from __future__ import annotations

import io
import os
import socket
import time
from datetime import datetime
from typing import Any

import numpy as np

from ..tensor import Tensor
from ._png import png

try:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "numbagrad.utils.tensorboard writes by the package tensorboard, which is not installed: pip install tensorboard"
    ) from error

__all__ = ["SummaryWriter"]

_STRING = 7  # the number of the type in TensorBoard's tensors


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _number(value: Any, tag: str) -> float:
    array = _array(value)
    if array.size != 1:
        raise ValueError(f"add_scalar: expected one number for {tag!r}, but got shape {list(array.shape)}")
    return float(array.reshape(()))


class SummaryWriter:
    """Writes an events file into ``log_dir`` (by default ``runs/`` with the time and the machine's name), which TensorBoard shows while it grows.

    ``global_step`` places a record on the horizontal axis; ``walltime`` is by default the time of the call.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ):
        self.log_dir = (
            os.fspath(log_dir) if log_dir else os.path.join("runs", f"{datetime.now():%b%d_%H-%M-%S}_{socket.gethostname()}{comment}")
        )
        self._options = {"max_queue_size": max_queue, "flush_secs": flush_secs, "filename_suffix": filename_suffix}
        self._writers = {"": EventFileWriter(self.log_dir, **self._options)}
        if purge_step is not None:  # what an interrupted run wrote from there on is not shown
            self._writers[""].add_event(Event(wall_time=time.time(), step=purge_step, file_version="brain.Event:2"))

    def get_logdir(self) -> str:
        """The directory that is written to."""
        return self.log_dir

    def _write(self, value: Any, step: int | None, walltime: float | None, run: str = "") -> None:
        if run not in self._writers:
            self._writers[run] = EventFileWriter(os.path.join(self.log_dir, run), **self._options)
        event = Event(summary=Summary(value=[value]), wall_time=time.time() if walltime is None else walltime)
        if step is not None:
            event.step = int(step)
        self._writers[run].add_event(event)

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """A point of the curve ``tag``.  Raises ValueError for more than one number."""
        self._write(Summary.Value(tag=tag, simple_value=_number(scalar_value, tag)), global_step, walltime)

    def add_scalars(
        self, main_tag: str, tag_scalar_dict: dict[str, Any], global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """A point of each of several curves in one chart."""
        for name, value in tag_scalar_dict.items():
            self._write(
                Summary.Value(tag=main_tag, simple_value=_number(value, main_tag)),
                global_step,
                walltime,
                f"{main_tag.replace('/', '_')}_{name}",
            )

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "auto",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """How ``values`` are distributed; ``bins`` as numpy.histogram's.  Raises ValueError for no values."""
        x = _array(values).astype(np.float64).reshape(-1)
        if not x.size:
            raise ValueError(f"add_histogram: expected values for {tag!r}, but got none")
        counts, edges = np.histogram(x, bins="doane" if isinstance(bins, str) and bins == "tensorflow" else bins)
        if max_bins is not None and len(counts) > max_bins:
            counts, edges = np.histogram(x, bins=max_bins)
        record = HistogramProto(
            min=x.min(),
            max=x.max(),
            num=x.size,
            sum=x.sum(),
            sum_squares=float(x @ x),
            bucket_limit=edges.tolist(),
            bucket=[0.0, *counts.tolist()],  # what lies below the first edge comes first
        )
        self._write(Summary.Value(tag=tag, histo=record), global_step, walltime)

    def add_image(
        self, tag: str, img_tensor: Any, global_step: int | None = None, walltime: float | None = None, dataformats: str = "CHW"
    ) -> None:
        """A picture, of bytes or of floats in [0, 1]; ``dataformats`` says which dimension is which: "CHW", "HWC" or "HW".

        Raises ValueError for another number of dimensions.
        """
        x = _array(img_tensor)
        if x.ndim != len(dataformats) or set(dataformats) - set("CHW"):
            raise ValueError(f"add_image: expected dimensions {dataformats} for {tag!r}, but got shape {list(x.shape)}")
        pixels = np.transpose(x, [dataformats.index(d) for d in "HWC" if d in dataformats])
        if pixels.dtype.kind == "f":
            pixels = (pixels * 255).clip(0, 255)
        pixels = np.ascontiguousarray(pixels.astype(np.uint8).reshape(*pixels.shape[:2], -1))
        height, width, channels = pixels.shape
        picture = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png(pixels))
        self._write(Summary.Value(tag=tag, image=picture), global_step, walltime)

    def add_images(
        self, tag: str, img_tensor: Any, global_step: int | None = None, walltime: float | None = None, dataformats: str = "NCHW"
    ) -> None:
        """A batch of pictures, side by side."""
        x = _array(img_tensor)
        if x.ndim != 4 or sorted(dataformats) != list("CHNW"):
            raise ValueError(f"add_images: expected dimensions {dataformats} for {tag!r}, but got shape {list(x.shape)}")
        n, height, width, channels = (x := np.transpose(x, [dataformats.index(d) for d in "NHWC"])).shape
        row = x.transpose(1, 0, 2, 3).reshape(height, n * width, channels)
        self.add_image(tag, row, global_step, walltime, "HWC")

    def add_figure(self, tag: str, figure: Any, global_step: int | None = None, close: bool = True, walltime: float | None = None) -> None:
        """A figure of matplotlib's, which is closed afterwards unless ``close`` is False."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        width, height = figure.canvas.get_width_height()
        picture = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=buffer.getvalue())
        self._write(Summary.Value(tag=tag, image=picture), global_step, walltime)
        if close:
            import matplotlib.pyplot as plt

            plt.close(figure)

    def add_text(self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None) -> None:
        """A text, in Markdown."""
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype=_STRING, string_val=[text_string.encode()], tensor_shape=shape)
        self._write(Summary.Value(tag=f"{tag}/text_summary", metadata=metadata, tensor=tensor), global_step, walltime)

    def flush(self) -> None:
        """See that everything is on disk."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Write what is left, and end the files."""
        for writer in self._writers.values():
            writer.close()

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
