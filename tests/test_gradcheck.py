"""gradcheck, gradgradcheck and anomaly detection: that they find what is wrong."""

from __future__ import annotations

import pytest

import numbagrad as ng
from numbagrad.autograd import Function, GradcheckError, gradcheck, gradgradcheck


def leaf(*values):
    return ng.tensor(list(values), dtype=ng.float64, requires_grad=True)


class TestChecks:
    def test_gradcheck_finds_a_wrong_gradient(self):
        class Wrong(Function):
            @staticmethod
            def forward(ctx, x):
                return x * x

            @staticmethod
            def backward(ctx, g):
                return g * 2

        with pytest.raises(GradcheckError, match="Jacobian mismatch"):
            gradcheck(Wrong.apply, (leaf(3.0),))
        assert not gradcheck(Wrong.apply, (leaf(3.0),), raise_exception=False, fast_mode=True)

    def test_gradgradcheck_finds_a_wrong_second_gradient(self):
        class Wrong(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x * x

            @staticmethod
            def backward(ctx, g):
                return g * 3 * (ctx.saved_tensors[0].detach() ** 2)

        assert gradcheck(Wrong.apply, (leaf(3.0),))
        with pytest.raises(GradcheckError):
            gradgradcheck(Wrong.apply, (leaf(3.0),))

    def test_anomaly_names_the_forward_line(self):
        x = leaf(-1.0)
        with ng.autograd.detect_anomaly():
            y = x.sqrt()  # the line to be named
            with pytest.raises(RuntimeError, match="SqrtBackward0") as caught:
                y.sum().backward()
        assert "the line to be named" in str(caught.value)
