"""What SummaryWriter writes, read back by TensorBoard's own reader."""

import numpy as np
import pytest

import numbagrad as ng

pytest.importorskip("tensorboard")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from numbagrad.utils.tensorboard import SummaryWriter


def read(folder):
    found = EventAccumulator(str(folder), size_guidance={"histograms": 0, "images": 0, "scalars": 0, "tensors": 0})
    found.Reload()
    return found


def test_curves(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        for step in range(5):
            writer.add_scalar("loss", ng.tensor(1.0 / (step + 1), requires_grad=True), step)
        writer.add_scalar("rate", 0.1, 3, walltime=12.0)
        writer.add_scalars("both", {"a": 1, "b": ng.tensor([2.0])}, 0)
    found = read(tmp_path)
    assert [(e.step, e.value) for e in found.Scalars("loss")] == [(i, pytest.approx(1 / (i + 1))) for i in range(5)]
    assert found.Scalars("rate")[0].wall_time == 12.0
    assert [read(tmp_path / f"both_{name}").Scalars("both")[0].value for name in "ab"] == [1.0, 2.0]


def test_histograms_pictures_and_texts(tmp_path):
    writer = SummaryWriter(tmp_path)
    values = ng.randn(100)
    writer.add_histogram("weights", values, 1)
    writer.add_histogram("few", values, 1, bins="tensorflow", max_bins=3)
    writer.add_image("grey", ng.rand(1, 4, 6), 2)
    writer.add_image("colour", np.zeros((4, 6, 3), np.uint8), 2, dataformats="HWC")
    writer.add_images("batch", ng.rand(3, 1, 4, 6))
    writer.add_text("note", "**hello**")
    plt = pytest.importorskip("matplotlib.pyplot")
    figure = plt.figure(figsize=(2, 1), dpi=50)
    writer.add_figure("figure", figure)
    writer.close()
    assert not plt.fignum_exists(figure.number)
    found = read(tmp_path)
    histogram = found.Histograms("weights")[0].histogram_value
    assert histogram.num == 100 == sum(histogram.bucket) and histogram.sum == pytest.approx(values.sum().item(), rel=1e-5)
    assert len(found.Histograms("few")[0].histogram_value.bucket) == 4
    assert [(i.height, i.width) for name in ("grey", "colour", "batch", "figure") for i in found.Images(name)] == [
        (4, 6),
        (4, 6),
        (4, 18),
        (50, 100),
    ]
    assert found.Images("grey")[0].encoded_image_string.startswith(b"\x89PNG")
    assert found.Tensors("note/text_summary")[0].tensor_proto.string_val[0] == b"**hello**"


def test_errors(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        for refused in (
            lambda: writer.add_scalar("a", ng.ones(2)),
            lambda: writer.add_histogram("a", ng.ones(0)),
            lambda: writer.add_image("a", ng.ones(4, 6)),
            lambda: writer.add_image("a", ng.ones(2, 4, 6)),
            lambda: writer.add_images("a", ng.ones(1, 4, 6)),
        ):
            with pytest.raises(ValueError):
                refused()
    assert writer.get_logdir() == str(tmp_path)
