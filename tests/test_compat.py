"""Scripts written for PyTorch, run as they are by ``python -m numbagrad.compat.torch``."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(tmp_path, source, *arguments, module=False):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(source))
    command = [sys.executable, "-m", "numbagrad.compat.torch", *(["-m", "script"] if module else [str(script)]), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)


def printed(tmp_path, source, *arguments, **options):
    done = run(tmp_path, source, *arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_imports_of_every_form(tmp_path):
    source = """
        import sys
        import numbagrad
        import torch
        import torch.nn as nn
        import torch.nn.functional as F
        import torch.optim.lr_scheduler
        import torchvision.transforms as T
        from torch import Tensor, optim
        from torch.autograd import Variable
        from torch.nn.functional import relu
        from torch.optim.swa_utils import AveragedModel
        from torch.utils.data import DataLoader
        from torch.utils.data.dataloader import DataLoader as Loader, default_collate
        from torch.utils.data.dataset import Dataset, random_split
        from torch.utils.data.sampler import SubsetRandomSampler
        from torchvision import datasets

        assert Loader is DataLoader and Dataset is torch.utils.data.Dataset and random_split is numbagrad.data.random_split
        assert SubsetRandomSampler is numbagrad.data.SubsetRandomSampler and default_collate is numbagrad.data.default_collate
        assert nn.Linear is numbagrad.nn.Linear and F.relu is relu is numbagrad.nn.functional.relu
        assert Tensor is numbagrad.Tensor and torch.optim.SGD is optim.SGD is numbagrad.optim.SGD
        assert torch.utils.data.DataLoader is DataLoader and isinstance(torch.ones(1), torch.Tensor) and datasets.MNIST and T.Compose
        assert Variable(torch.ones(2)).data.tolist() == [1, 1] and torch.float32 is numbagrad.float32 and AveragedModel
        torch.backends.cudnn.benchmark = True
        assert numbagrad.backends.cudnn.benchmark is True
        assert not any("site-packages/torch/" in (getattr(m, "__file__", None) or "") for m in list(sys.modules.values()))
        print(torch.__version__.split(".")[0], __name__, *sys.argv[1:])
    """
    assert printed(tmp_path, source, "--rate", "3") == ["2", "__main__", "--rate", "3"]


def test_a_training_script_saves_and_loads(tmp_path):
    source = """
        import torch
        from torch import nn
        from torch.utils.data import DataLoader, TensorDataset

        torch.manual_seed(0)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1)).to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        x = torch.rand(128, 2)
        loader = DataLoader(TensorDataset(x, x.prod(1, keepdim=True)), batch_size=32, shuffle=True, num_workers=1)
        losses = []
        for epoch in range(20):
            for inputs, targets in loader:
                optimizer.zero_grad()
                loss = nn.functional.mse_loss(model(inputs.to(device)), targets.to(device))
                loss.backward()
                optimizer.step()
            losses.append(loss.item())
        torch.save(model.state_dict(), "model.pt")
        model.load_state_dict(torch.load("model.pt", map_location=device, weights_only=True))
        print(sum(losses[-3:]) < 0.5 * sum(losses[:3]))
    """
    assert printed(tmp_path, source) == ["True"]


@pytest.mark.parametrize("module", [False, True])
def test_workers_import_the_same(tmp_path, module):
    """Datasets of the script itself and of a module beside it: in the processes of a loader, too, torch is numbagrad."""
    (tmp_path / "beside.py").write_text(
        "import torch\nclass Beside(torch.utils.data.Dataset):\n"
        "    def __len__(self): return 2\n    def __getitem__(self, i): return torch.tensor(i), torch.Tensor.__module__\n"
    )
    source = """
        import torch
        from torch.utils.data import DataLoader, IterableDataset, get_worker_info

        from beside import Beside

        class Share(IterableDataset):
            def __iter__(self):
                info = get_worker_info()
                return (torch.full((), i) for i in range(info.id, 5, info.num_workers))

        if __name__ == "__main__":
            print(*(kind for _, kinds in DataLoader(Beside(), num_workers=1) for kind in kinds))
            print(*sorted(x.item() for x in DataLoader(Share(), batch_size=None, num_workers=2)))
    """
    assert printed(tmp_path, source, module=module) == ["numbagrad.tensor"] * 2 + list("01234")


def test_modules_and_neighbours(tmp_path):
    """``-m module`` runs one, and what lies beside the script can be imported."""
    (tmp_path / "beside.py").write_text("import torch\nvalue = torch.arange(3).sum().item()\n")
    source = "from beside import value\nprint(value, __name__)\n"
    assert printed(tmp_path, source) == printed(tmp_path, source, module=True) == ["3", "__main__"]


@pytest.mark.parametrize(
    "line, said",
    [
        ("torch.nn.NoSuchLayer", "torch.nn.NoSuchLayer: numbagrad does not have it"),
        ("import torch.no_such_part.inner", "torch.no_such_part: numbagrad does not have it"),
        ("from torch import no_such_function", "no_such_function"),
        ("from torch.nn.functional import no_such_function", "no_such_function"),
        ("torch.nn.functional.relu.inner", "inner"),
    ],
)
def test_what_is_missing_is_named(tmp_path, line, said):
    done = run(tmp_path, f"import torch\n{line}\n")
    assert done.returncode == 1 and said in done.stderr


def test_command_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "numbagrad.compat.torch", "missing.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2 and "missing.py" in done.stderr
    done = run(tmp_path, "raise SystemExit(7)")
    assert done.returncode == 7


def test_pytorch_that_is_imported_already_is_left_alone(tmp_path):
    pytest.importorskip("torch")
    source = """
        from numbagrad.compat.torch import install
        import torch

        try:
            install()
        except RuntimeError:
            print("refused", torch.__file__ is not None)
    """
    script = tmp_path / "own.py"
    script.write_text(textwrap.dedent(source))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=300
    )
    assert done.stdout.split() == ["refused", "True"], done.stderr
