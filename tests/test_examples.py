"""The programs in examples/ and the Python in README.md, run as their readers would run them, on small data."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numbagrad as ng
from tests.example_programs import EXAMPLES, ROOT, idx, load_example, write_digits

needs_pictures = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("matplotlib", "tqdm")), reason="train_mnist.py needs matplotlib and tqdm"
)
SMALL = ("--batch-size", "16", "--epochs", "3")


def environment(home: Path) -> dict[str, str]:
    """This process's, with the checkout importable, an empty home and no way to the network; the compiled kernels stay where they are."""
    from numbagrad.kernels._cpu import cache

    closed = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    kept = {name: value for name, value in os.environ.items() if name not in ("NUMBAGRAD_DATA", "no_proxy", "NO_PROXY")}
    return {
        **kept,
        **closed,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "NUMBAGRAD_CACHE_DIR": str(cache.cache_directory() or ""),
        "XDG_CACHE_HOME": str(home / "cache"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "HOME": str(home),
        "MPLBACKEND": "Agg",
    }


def command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, str(EXAMPLES / name), *map(str, arguments)]


def execute(home: Path, name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(name, *arguments), env=environment(home), cwd=home, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits"))


def weights(out: Path) -> dict[str, np.ndarray]:
    """Every number in a checkpoint that training changes, by its place."""
    saved = ng.load(out / "checkpoint.safetensors")
    found = {f"model.{name}": value.numpy() for name, value in saved["model"].items()}
    for position, state in saved["optimizer"]["state"].items():
        found.update({f"optimizer.{position}.{name}": np.asarray(value) for name, value in state.items()})
    found["random"] = saved["random"].numpy()
    return found


def assert_same(first: Path, second: Path) -> None:
    a, b = weights(first), weights(second)
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), name


# ---- the short ones -----------------------------------------------------------------------------------------------------------------


def test_linear_regression_finds_the_line(monkeypatch, capsys):
    weight, bias = load_example("linear_regression", monkeypatch).main()
    assert abs(weight - 2) < 1e-3 and abs(bias) < 1e-3
    assert "y = 2.0000 x" in capsys.readouterr().out


def test_custom_op_learns(monkeypatch, capsys):
    loss = load_example("custom_op", monkeypatch).main()
    assert loss < 0.01
    assert "True True" in capsys.readouterr().out


def test_autograd_tour(monkeypatch, capsys):
    load_example("autograd_tour", monkeypatch).main()
    assert len(capsys.readouterr().out.splitlines()) == 8


# ---- train_mnist.py -----------------------------------------------------------------------------------------------------------------


@needs_pictures
@pytest.mark.parametrize("model", ["mlp", "lenet", "cnn"])
def test_training_writes_its_outputs(tmp_path, digits, model):
    done = execute(tmp_path, "train_mnist.py", "--model", model, "--data", digits, "--out", tmp_path / "out", *SMALL)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["model"] == model and metrics["epochs"] == 3
    assert metrics["loss"][-1] < 0.7 * metrics["loss"][0]
    assert metrics["test_accuracy"] > 0.3
    assert done.stdout.count("test accuracy") == 4 and "160 images to train on, 64 to test on" in done.stdout
    assert "\r" not in done.stdout + done.stderr  # no progress bar where there is no terminal
    for picture in ("curves", "confusion", "mistakes"):
        assert (tmp_path / "out" / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "checkpoint.safetensors", "confusion.png", "curves.png", "metrics.json", "mistakes.png",
    ]  # fmt: skip


@needs_pictures
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "rmsprop", "adagrad"])
def test_every_optimizer_learns(tmp_path, digits, optimizer, monkeypatch, capsys):
    program = load_example("train_mnist", monkeypatch)
    metrics = program.main(["--optimizer", optimizer, "--data", str(digits), "--out", str(tmp_path), "--batch-size", "16", "--epochs", "2"])
    assert metrics["loss"][1] < metrics["loss"][0]


@needs_pictures
def test_mixed_precision(tmp_path, digits, monkeypatch, capsys):
    program = load_example("train_mnist", monkeypatch)
    common = ["--data", str(digits), "--out", str(tmp_path), "--batch-size", "16", "--amp"]
    metrics = program.main([*common, "--epochs", "2"])
    assert metrics["loss"][1] < metrics["loss"][0]
    assert {str(value.dtype) for name, value in weights(tmp_path).items() if name.startswith("model.")} == {"float32"}
    program.main([*common, "--epochs", "3", "--resume"])
    assert "not False" in refused(program, capsys, *[a for a in common if a != "--amp"], "--resume")


@needs_pictures
def test_resumed_run_is_the_uninterrupted_one(tmp_path, digits, monkeypatch, capsys):
    """With dropout, so that the generator's state counts too."""
    program = load_example("train_mnist", monkeypatch)
    common = ["--model", "cnn", "--data", str(digits), "--batch-size", "16"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    program.main([*common, "--epochs", "3", "--out", str(whole)])
    program.main([*common, "--epochs", "1", "--out", str(parts)])
    assert any((weights(whole)[name] != value).any() for name, value in weights(parts).items())
    program.main([*common, "--epochs", "3", "--out", str(parts), "--resume"])
    assert_same(whole, parts)
    first, second = (json.loads((out / "metrics.json").read_text()) for out in (whole, parts))
    for name in ("loss", "accuracy", "test_accuracy", "best_test_accuracy"):
        assert first[name] == second[name]


@needs_pictures
def test_early_stopping(tmp_path, digits, monkeypatch, capsys):
    program = load_example("train_mnist", monkeypatch)
    # A rate this small changes no prediction, so accuracy cannot rise.
    metrics = program.main(["--lr", "1e-12", "--data", str(digits), "--out", str(tmp_path), "--epochs", "9", "--patience", "2"])
    assert metrics["epochs"] == 3
    assert "stopping early" in capsys.readouterr().out


@needs_pictures
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_interrupt_leaves_a_checkpoint_to_go_on_from(tmp_path, monkeypatch, capsys):
    data = write_digits(tmp_path / "digits", train=2400)
    common = ["--data", data, "--batch-size", "2", "--patience", "1000"]
    out = tmp_path / "stopped"
    started = command("train_mnist.py", *common, "--epochs", 1000, "--out", out)
    # Where the tests run in a shell's background SIGINT is ignored, and a child would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(started, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("epoch 2:"):  # the third has just begun: 1200 steps lie ahead
                process.send_signal(signal.SIGINT)
                break
        signal.signal(signal.SIGINT, before)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted" in output and "Traceback" not in errors
    epochs = len(ng.load(out / "checkpoint.safetensors")["history"]["loss"])
    assert 2 <= epochs < 1000
    program = load_example("train_mnist", monkeypatch)
    program.main([*map(str, common), "--epochs", str(epochs + 1), "--out", str(out), "--resume"])
    program.main([*map(str, common), "--epochs", str(epochs + 1), "--out", str(tmp_path / "whole")])
    assert_same(tmp_path / "whole", out)


@needs_pictures
def test_interrupt_in_the_first_epoch(tmp_path, digits, monkeypatch, capsys):
    program = load_example("train_mnist", monkeypatch)
    advance = program.report.Bar.advance

    def interrupted(self, text):
        advance(self, text)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(program.report.Bar, "advance", interrupted)
        with pytest.raises(SystemExit) as stop:
            program.main(["--data", str(digits), "--out", str(tmp_path / "out")])
    assert stop.value.code == 130
    common = ["--data", str(digits), "--batch-size", "64", "--epochs", "1"]
    program.main([*common, "--out", str(tmp_path / "out"), "--resume"])
    program.main([*common, "--out", str(tmp_path / "whole")])
    assert_same(tmp_path / "whole", tmp_path / "out")


# ---- mistakes: one line each, no traceback ------------------------------------------------------------------------------------------


def refused(program, capsys, *arguments: object) -> str:
    """The one line with which the program ends."""
    with pytest.raises(SystemExit) as stop:
        program.main([str(argument) for argument in arguments])
    message = stop.value.code if isinstance(stop.value.code, str) else capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code not in (0, None) and len(message.splitlines()) == 1
    return message


@needs_pictures
@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--model", "mpl"], "invalid choice: 'mpl'"),
        (["--epochs", "0"], "argument --epochs: expected at least 1, but got 0"),
        (["--batch-size", "-4"], "argument --batch-size: expected at least 1, but got -4"),
        (["--patience", "0"], "argument --patience: expected at least 1"),
        (["--lr", "-1"], "argument --lr: expected a positive number, but got -1.0"),
        (["--lr", "nan"], "argument --lr: expected a positive number, but got nan"),
        (["--lr", "fast"], "invalid float value: 'fast'"),
        (["--gamma", "0"], "argument --gamma: expected a positive number"),
        (["--seed", "-1"], "argument --seed: expected a number from 0"),
        (["--device", "tpu"], "argument --device: Expected one of cpu, cuda"),
        *([] if ng.cuda.is_available() else [(["--device", "cuda"], "argument --device: zeros: the CUDA device cuda was asked for, but ")]),
    ],
)
def test_wrong_argument(arguments, expected, monkeypatch, capsys):
    assert expected in refused(load_example("train_mnist", monkeypatch), capsys, *arguments)


@needs_pictures
def test_broken_data(tmp_path, monkeypatch, capsys):
    program = load_example("train_mnist", monkeypatch)
    out = tmp_path / "out"

    def message() -> str:
        return refused(program, capsys, "--data", tmp_path / "data", "--out", out)

    assert "train-images-idx3-ubyte" in message() and "not found" in message()
    write_digits(tmp_path / "data")
    images, labels = (tmp_path / "data" / f"train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    whole = images.read_bytes()
    images.write_bytes(whole[: len(whole) // 2])
    assert str(images) in message() and "truncated" in message()
    damaged = bytearray(whole)
    damaged[len(damaged) // 2] ^= 0xFF
    images.write_bytes(damaged)
    assert str(images) in message() and "not a whole gzip file" in message()
    images.write_bytes(gzip.compress(b"\x89PNG and so on"))
    assert "is not an IDX file" in message()
    images.write_bytes(gzip.compress(gzip.decompress(whole)[:-100]))
    assert "is truncated" in message() and "(160, 28, 28)" in message()
    images.write_bytes(gzip.compress(idx(np.zeros((160, 8, 8)))))
    assert "expected at least one, of (28, 28)" in message()
    images.write_bytes(whole)
    labels.write_bytes(gzip.compress(idx(np.full(160, 10))))
    assert "the label 10" in message()
    labels.write_bytes(gzip.compress(idx(np.zeros(159))))
    assert "160 images" in message() and "159 labels" in message()
    assert not out.exists()


@needs_pictures
def test_broken_checkpoint(tmp_path, digits, monkeypatch, capsys):
    program = load_example("train_mnist", monkeypatch)
    checkpoint = tmp_path / "checkpoint.safetensors"
    common = ["--data", str(digits), "--out", str(tmp_path), "--epochs", "1"]
    assert "there is no checkpoint" in refused(program, capsys, *common, "--resume")
    program.main(common)
    whole = checkpoint.read_bytes()
    for setting in (["--model", "lenet"], ["--seed", "1"], ["--lr", "0.1"], ["--batch-size", "32"]):
        assert f"not {setting[1]}" in refused(program, capsys, *common, "--resume", *setting)
    other = write_digits(tmp_path / "more", train=170)
    assert "160 training images, not 170" in refused(program, capsys, *common, "--resume", "--data", other)
    for broken in (whole[:-10], whole[:100], b"", b"PK\x03\x04 something else"):
        checkpoint.write_bytes(broken)
        said = refused(program, capsys, *common, "--resume")
        assert "is not a readable checkpoint" in said or "is a damaged file of PyTorch's" in said
        assert checkpoint.read_bytes() == broken
    ng.save({"weight": ng.zeros(3)}, checkpoint)
    assert "was not written by this program" in refused(program, capsys, *common, "--resume")


@needs_pictures
def test_loss_that_is_no_number(tmp_path, digits, monkeypatch, capsys):
    program = load_example("train_mnist", monkeypatch)
    message = refused(program, capsys, "--data", digits, "--out", tmp_path, "--optimizer", "sgd", "--lr", "1e30", "--batch-size", "8")
    assert message.startswith("error: the loss became") and "--lr" in message
    assert ng.load(tmp_path / "checkpoint.safetensors")["history"]["loss"] == []


@needs_pictures
def test_output_directory_that_cannot_be_one(tmp_path, digits, monkeypatch, capsys):
    program = load_example("train_mnist", monkeypatch)
    (tmp_path / "file").write_text("here first")
    assert "cannot write to" in refused(program, capsys, "--data", digits, "--out", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "here first"


@needs_pictures
def test_without_network_it_says_what_it_uses(tmp_path):
    pytest.importorskip("sklearn")
    done = execute(tmp_path, "train_mnist.py", "--epochs", 1, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "could not be downloaded" in done.stdout
    assert "not those of MNIST" in done.stdout
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["data"] == "scikit-learn's digits (not MNIST)"


@needs_pictures
def test_data_from_the_environment(tmp_path, digits, monkeypatch, capsys):
    monkeypatch.setenv("NUMBAGRAD_DATA", str(digits))
    metrics = load_example("train_mnist", monkeypatch).main(["--epochs", "1", "--out", str(tmp_path)])
    assert metrics["data"] == f"MNIST in {digits}"


# ---- README.md and CONTRIBUTING.md --------------------------------------------------------------------------------------------------


def python_blocks(text: str) -> list[tuple[str, str, str]]:
    """(path, list, code) of each: a block that starts with "# path" belongs at the end of that file, with "# path, in LIST" into a list there;
    for any other block both are ""."""
    found = []
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        head = re.match(r"# (\S+/\S+\.py)(?:, in (\w+))?\n", block)
        found.append((head.group(1), head.group(2) or "", block) if head else ("", "", block))
    return found


def test_readme_code_runs(tmp_path, monkeypatch):
    """The blocks that are scripts, each by itself."""
    monkeypatch.chdir(tmp_path)
    scripts = [block for path, _, block in python_blocks((ROOT / "README.md").read_text()) if not path]
    assert len(scripts) == 3
    assert len(re.sub(r"\n\n+", "\n", scripts[0]).splitlines()) <= 12  # "ten lines", and the imports
    losses = []
    for number, block in enumerate(scripts, 1):
        space: dict[str, Any] = {"__name__": "readme"}
        exec(compile(block, f"README.md, block {number}", "exec"), space)
        losses.append(space["loss"].item() if "loss" in space else 0.0)
    assert losses[0] < 0.01 and losses[2] < 0.3


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_adding_a_kernel_as_the_texts_say(tmp_path, device):
    """The blocks that are parts of files, added to a copy of the library, make the operations that the texts promise."""
    if device == "cuda":
        pytest.importorskip("numba_cuda")
        pytest.importorskip("greenlet")
    for folder in ("kernels", "numbagrad", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    if not (tmp_path / "numbagrad" / "kernels").is_symlink():
        shutil.copytree(ROOT / "kernels", tmp_path / "numbagrad" / "kernels", dirs_exist_ok=True)
    written = []
    for text in ("README.md", "CONTRIBUTING.md"):
        for path, into, block in python_blocks((ROOT / text).read_text()):
            if not path:
                continue
            written.append(path)
            target = tmp_path / path
            target.parent.mkdir(exist_ok=True)
            old = target.read_text() if target.exists() else ""
            assert not into or f"{into} = [\n" in old
            target.write_text(old.replace(f"{into} = [\n", f"{into} = [\n{block.rstrip()},\n") if into else f"{old}\n\n{block}")
    assert len(written) == 7
    with open(tmp_path / "numbagrad" / "ops" / "__init__.py", "a") as file:
        file.write("from . import difference\n")
    (tmp_path / "use.py").write_text(
        """
import sys
import numpy as np
import numbagrad as ng
from numbagrad.autograd import gradcheck, gradgradcheck
from tests.op_table import ELEMENTWISE

ng.set_default_device(sys.argv[1])
op = next(op for op in ELEMENTWISE if op.name == "gudermann")
x = ng.tensor(op.samples((2, 3))[0], requires_grad=True)
assert np.allclose(ng.gudermann(x).numpy(force=True), op.reference(x.numpy(force=True)), rtol=1e-14, atol=1e-14)
assert gradcheck(ng.gudermann, (x,)) and gradgradcheck(ng.gudermann, (x,))
assert x.detach().clone().gudermann_().tolist() == x.gudermann().tolist()

x = ng.randn(2, 4, 5, dtype=ng.float64, requires_grad=True)
for y in (x, x.mT, x[:, :, :1], x[:0]):
    assert np.array_equal(y.difference().numpy(force=True), np.diff(y.numpy(force=True))), y.shape
assert gradcheck(ng.difference, (x.mT,)) and gradgradcheck(ng.difference, (x,))
for wrong in (ng.zeros(2, 0), ng.zeros(()), ng.zeros(3, dtype=ng.int64)):
    try:
        ng.difference(wrong)
    except RuntimeError as error:
        assert str(error).startswith("difference: expected")
    else:
        raise AssertionError(wrong)
print("works")
"""
    )
    environ = {**environment(tmp_path), "PYTHONPATH": str(tmp_path), "NUMBA_ENABLE_CUDASIM": str(int(device == "cuda"))}
    done = subprocess.run([sys.executable, "use.py", device], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout == "works\n", done.stderr


def test_readme_names_what_exists():
    """Its two commands are targets of the Makefile, and the files and folders it names are there."""
    text = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"mnist", "test"} <= set(re.findall(r"\bmake ([a-z]+)", text)) <= targets
    paths = set(re.findall(r"\b(?:numbagrad|kernels|tests|examples|benchmarks)/[\w./-]*", text))
    assert len(paths) > 8
    for path in paths:
        assert (ROOT / path).exists(), path


def test_readme_tree():
    """Each folder and module in the drawing of the layout is there; the five of the root are all there are."""
    drawing = re.search(r"## How the house is laid out\n\n(.*?)\n\n", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    top, tops = "", []
    for line in drawing.splitlines():
        indent, names = len(line) - len(line.lstrip()), re.match(r"(?:[\w.]+(?:/|\.py)\s*)+", line.strip())
        if names and indent == 4:
            top = names.group().split("/")[0]
            tops.append(top)
            assert (ROOT / top).is_dir()
        elif names and indent == 6:
            for name in names.group().split():
                assert (ROOT / top / name).exists(), f"{top}/{name}"
    assert tops == ["numbagrad", "kernels", "tests", "examples", "benchmarks"]
