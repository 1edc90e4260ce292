"""The graph: recording, walking, in-place changes, views, hooks, modes."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

import numbagrad as ng
from numbagrad.autograd import Function, grad, gradcheck, gradgradcheck


def leaf(*values, dtype=ng.float64):
    return ng.tensor(list(values), dtype=dtype, requires_grad=True)


class TestBackward:
    def test_gradients_of_a_product(self):
        x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
        (x * y).sum().backward()
        assert x.grad.tolist() == [3.0, 4.0]
        assert y.grad.tolist() == [1.0, 2.0]

    def test_accumulates_over_calls_and_uses(self):
        x = leaf(2.0)
        (x + x * x).sum().backward()
        assert x.grad.tolist() == [5.0]
        (3 * x).sum().backward()
        assert x.grad.tolist() == [8.0]

    def test_broadcast_gradients_are_summed(self):
        x, b = ng.ones(3, 4, requires_grad=True), ng.ones(4, requires_grad=True)
        (x * 2 + b).sum().backward()
        assert x.grad.tolist() == [[2.0] * 4] * 3
        assert b.grad.tolist() == [3.0] * 4

    def test_gradient_has_the_dtype_of_its_input(self):
        x, y = leaf(1.0, dtype=ng.float32), leaf(2.0, dtype=ng.float64)
        (x * y).sum().backward()
        assert x.grad.dtype is ng.float32
        assert y.grad.dtype is ng.float64

    def test_real_input_of_a_complex_result_gets_a_real_gradient(self):
        x = leaf(1.0, 2.0)
        y = x * (3 + 4j)
        y.backward(ng.ones_like(y))
        assert x.grad.dtype is ng.float64
        assert x.grad.tolist() == [3.0, 3.0]

    def test_non_scalar_needs_a_seed(self):
        with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
            (leaf(1.0, 2.0) * 2).backward()

    def test_seed_of_another_shape(self):
        with pytest.raises(RuntimeError, match="Mismatch in shape"):
            (leaf(1.0, 2.0) * 2).backward(ng.ones(3, dtype=ng.float64))

    def test_nothing_to_differentiate(self):
        with pytest.raises(RuntimeError, match="does not require grad"):
            ng.ones(1).backward()

    def test_second_walk_of_a_freed_graph(self):
        x = leaf(1.0)
        y = (x * x).sum()
        y.backward()
        with pytest.raises(RuntimeError, match="second time"):
            y.backward()

    def test_retain_graph(self):
        x = leaf(3.0)
        y = (x * x).sum()
        y.backward(retain_graph=True)
        y.backward()
        assert x.grad.tolist() == [12.0]

    def test_gradient_of_two_leaves_is_not_one_array(self):
        x, y = leaf(1.0), leaf(1.0)
        (x + y).backward(ng.ones(1, dtype=ng.float64))
        x.grad.add_(5)
        assert y.grad.tolist() == [1.0]

    def test_callers_seed_is_not_taken_over(self):
        x = leaf(1.0)
        seed = ng.ones(1, dtype=ng.float64)
        (x + 1).backward(seed)
        x.grad.add_(5)
        assert seed.tolist() == [1.0]

    def test_only_what_is_asked_for(self):
        x, y = leaf(2.0), leaf(3.0)
        (x * y).sum().backward(inputs=[x])
        assert x.grad.tolist() == [3.0]
        assert y.grad is None

    def test_a_graph_100_000_nodes_deep(self):
        x = ng.ones(1, requires_grad=True)
        y = x
        for _ in range(100_000):
            y = y + 1
        y.backward()
        assert x.grad.tolist() == [1.0]
        del y  # and it is freed without recursion too

    @pytest.mark.cpu
    def test_threads_that_share_a_leaf(self):
        x = ng.ones(1, dtype=ng.float64, requires_grad=True)

        def work():
            for _ in range(200):
                (x * 1.0).sum().backward()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert x.grad.tolist() == [800.0]

    def test_a_diamond_is_walked_once_per_node(self):
        x = ng.ones(1, dtype=ng.float64, requires_grad=True)
        y = x
        for _ in range(60):  # 2**60 paths
            y = y * 0.5 + y * 0.5
        y.backward()
        assert x.grad.tolist() == [1.0]

    def test_graph_is_freed_without_the_cycle_collector(self):
        gc.disable()
        try:
            x = leaf(1.0)
            y = x.exp() * x.tanh()
            node = weakref.ref(y.grad_fn)
            del y
            assert node() is None
        finally:
            gc.enable()

    def test_integers_have_no_gradient(self):
        with pytest.raises(RuntimeError, match="floating point"):
            ng.tensor([1], requires_grad=True)

    def test_values_not_needed_are_not_kept(self):
        x = leaf(1.0)
        a = x * 2
        held = weakref.ref(a)
        b = a + 1  # addition reads neither operand later
        del a
        assert held() is None
        b.sum().backward()
        assert x.grad.tolist() == [2.0]


class TestGrad:
    def test_returns_and_does_not_accumulate(self):
        x = leaf(3.0)
        (g,) = grad((x * x).sum(), x)
        assert g.tolist() == [6.0]
        assert x.grad is None

    def test_of_an_intermediate_value(self):
        x = leaf(3.0)
        y = x * x
        z = (y * y).sum()
        gy, gx = grad(z, [y, x])
        assert gy.tolist() == [18.0]
        assert gx.tolist() == [108.0]

    def test_unused_input(self):
        x, y = leaf(1.0), leaf(1.0)
        with pytest.raises(RuntimeError, match="not have been used in the graph"):
            grad(x.sum(), y)
        assert grad((x * 1).sum(), [x, y], allow_unused=True)[1] is None
        assert grad((x * 1).sum(), [y], materialize_grads=True)[0].tolist() == [0.0]
        with pytest.raises(ValueError, match="allow_unused"):
            grad((x * 1).sum(), [y], allow_unused=False, materialize_grads=True)

    def test_third_derivative(self):
        x = leaf(0.7)
        d = x.sin().sum()
        for _ in range(3):
            (d,) = grad(d.sum(), x, create_graph=True)
        assert d.item() == pytest.approx(-x.cos().item())

    def test_one_result_of_several_outputs(self):
        x = ng.tensor([[1.0, 5.0], [7.0, 3.0]], dtype=ng.float64, requires_grad=True)
        values, indices = x.max(1)
        assert not indices.requires_grad
        (g,) = grad(values.sum(), x)
        assert g.tolist() == [[0.0, 1.0], [1.0, 0.0]]


class TestInPlace:
    def test_leaf_is_refused(self):
        x = leaf(1.0)
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            x.add_(1)
        with pytest.raises(RuntimeError, match="a view of a leaf Variable"):
            x[:1].add_(1)

    def test_leaf_is_allowed_without_recording(self):
        x = leaf(1.0)
        with ng.no_grad():
            x.add_(1)
        assert x.is_leaf
        assert x.tolist() == [2.0]

    def test_history_continues(self):
        x = leaf(2.0)
        y = x * 3
        y.mul_(x)
        y.sum().backward()
        assert x.grad.tolist() == [12.0]

    def test_saved_input_changed(self):
        x = leaf(1.0)
        a = x * 2
        b = a * a
        a.add_(1)
        with pytest.raises(RuntimeError, match=r"modified by an inplace operation: .* of MulBackward0"):
            b.sum().backward()

    def test_saved_result_changed(self):
        x = leaf(1.0)
        y = x.exp()
        y.add_(1)
        with pytest.raises(RuntimeError, match="output of ExpBackward0"):
            y.sum().backward()

    def test_change_through_a_view_is_noticed(self):
        x = leaf(1.0, 2.0)
        y = x.exp()
        y[0] = 5.0
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            (y * 1).sum().backward()

    def test_change_of_a_view_reaches_the_base(self):
        x = leaf(1.0, 2.0, 3.0)
        y = x * 2
        y[1:].mul_(10)
        y.sum().backward()
        assert x.grad.tolist() == [2.0, 20.0, 20.0]

    def test_change_of_the_base_reaches_a_view(self):
        x = leaf(1.0, 2.0)
        y = x * 2
        v = y[0:1]
        y.mul_(3)
        v.sum().backward()
        assert x.grad.tolist() == [6.0, 0.0]

    def test_sibling_views(self):
        x = leaf(1.0, 2.0)
        y = x * 1
        a, b = y[0], y[1]
        a.mul_(5)
        (a + b).backward()
        assert x.grad.tolist() == [5.0, 1.0]

    def test_view_of_a_view(self):
        x = ng.ones(2, 3, dtype=ng.float64, requires_grad=True)
        y = x * 1
        y.t()[1].mul_(4)
        y.sum().backward()
        assert x.grad.tolist() == [[1.0, 4.0, 1.0]] * 2

    def test_constant_written_over_a_part(self):
        x = leaf(1.0, 2.0)
        y = x * 3
        y[0] = 0.0
        y.sum().backward()
        assert x.grad.tolist() == [0.0, 3.0]

    def test_graph_written_into_a_plain_tensor(self):
        x = leaf(2.0)
        y = ng.zeros(3, dtype=ng.float64)
        y[1] = x[0] * 5
        assert y.requires_grad
        y.sum().backward()
        assert x.grad.tolist() == [5.0]

    def test_second_derivative_through_a_view(self):
        def f(x):
            y = x * x
            y[1:].mul_(x[1:])
            return y

        assert gradgradcheck(f, (leaf(0.5, 1.5, -0.3),))

    def test_expanded_tensor_is_refused(self):
        with pytest.raises(RuntimeError, match="single memory location"):
            ng.ones(1).expand(3).add_(1)

    def test_overlapping_operand_is_read_before_it_is_written(self):
        x = ng.arange(6).float()
        x[1:].add_(x[:-1])
        assert x.tolist() == [0.0, 1.0, 3.0, 5.0, 7.0, 9.0]

    def test_dtype_may_not_fall(self):
        with pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
            ng.ones(2, dtype=ng.int64).add_(1.5)

    def test_shape_may_not_grow(self):
        with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
            ng.ones(1).add_(ng.ones(3))

    def test_data_is_outside(self):
        x = leaf(1.0)
        x.data.add_(1)
        assert x.tolist() == [2.0]
        assert x._version == 0


class TestModes:
    def test_no_grad_as_context_and_decorator(self):
        x = leaf(1.0)
        with ng.no_grad():
            assert not (x * 2).requires_grad
            with ng.enable_grad():
                assert (x * 2).requires_grad
        for decorate in (ng.no_grad, ng.no_grad(), ng.inference_mode()):
            assert not decorate(lambda: x * 2)().requires_grad
        assert (x * 2).requires_grad

    def test_generator_functions(self):
        @ng.no_grad()
        def numbers():
            yield ng.is_grad_enabled()
            yield ng.is_grad_enabled()

        seen = []
        for inside in numbers():
            seen.append((inside, ng.is_grad_enabled()))
        assert seen == [(False, True), (False, True)]

    def test_set_grad_enabled(self):
        ng.set_grad_enabled(False)
        assert not ng.is_grad_enabled()
        ng.set_grad_enabled(True)
        with ng.set_grad_enabled(False):
            assert not ng.is_grad_enabled()
        assert ng.is_grad_enabled()

    def test_an_error_restores_the_mode(self):
        with pytest.raises(ValueError), ng.no_grad():
            raise ValueError
        assert ng.is_grad_enabled()

    def test_modes_are_per_thread(self):
        seen = []
        with ng.no_grad():
            thread = threading.Thread(target=lambda: seen.append(ng.is_grad_enabled()))
            thread.start()
            thread.join()
        assert seen == [True]


class TestHooks:
    def test_on_a_leaf(self):
        x = leaf(1.0)
        handle = x.register_hook(lambda g: g * 2)
        (x * 3).sum().backward()
        assert x.grad.tolist() == [6.0]
        handle.remove()
        (x * 3).sum().backward()
        assert x.grad.tolist() == [9.0]

    def test_on_an_intermediate_value(self):
        x = leaf(1.0)
        y = x * 2
        seen = []
        y.register_hook(lambda g: seen.append(g.item()))
        (y * 5).sum().backward()
        assert seen == [5.0]

    def test_retain_grad(self):
        x = leaf(1.0)
        y = x * 2
        y.retain_grad()
        (y * 5).sum().backward()
        assert y.grad.tolist() == [5.0]

    def test_after_accumulation(self):
        x = leaf(1.0)
        seen = []
        x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.item()))
        (x * 5).sum().backward()
        assert seen == [5.0]

    def test_node_hooks(self):
        x = leaf(1.0)
        y = (x * 2).sum()
        y.grad_fn.register_hook(lambda inputs, outputs: (inputs[0] * 10,))
        y.backward()
        assert x.grad.tolist() == [20.0]


class Cube(Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return scale * x * x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * ctx.scale * x * x, None


class TestFunction:
    def test_gradients_of_both_orders(self):
        x = leaf(1.0, -2.0)
        assert gradcheck(lambda x: Cube.apply(x, 2.0), (x,))
        assert gradgradcheck(lambda x: Cube.apply(x, 2.0), (x,))

    def test_name(self):
        assert Cube.apply(leaf(1.0), 1.0).grad_fn.name() == "CubeBackward"

    def test_wrong_number_of_gradients(self):
        class Short(Function):
            @staticmethod
            def forward(ctx, x, y):
                return x * y

            @staticmethod
            def backward(ctx, g):
                return g

        with pytest.raises(RuntimeError, match=r"incorrect number of gradients \(expected 2, got 1\)"):
            Short.apply(leaf(1.0), leaf(1.0)).sum().backward()

    def test_wrong_shape_of_a_gradient(self):
        class Wide(Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1

            @staticmethod
            def backward(ctx, g):
                return ng.ones(7, dtype=ng.float64)

        with pytest.raises(RuntimeError, match="invalid gradient at index 0"):
            Wide.apply(ng.ones(3, dtype=ng.float64, requires_grad=True)).sum().backward()

    def test_saved_tensor_changed(self):
        x = leaf(1.0)
        a = x * 1
        y = Cube.apply(a, 1.0)
        a.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()

    def test_what_is_no_gradient(self):
        class Number(Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1

            @staticmethod
            def backward(ctx, g):
                return 3

        with pytest.raises(RuntimeError, match="returned a int as gradient 0"):
            Number.apply(leaf(1.0)).sum().backward()

    def test_what_cannot_be_saved(self):
        class Saver(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(3)
                return x * 1

        with pytest.raises(TypeError, match="argument 0 is of type int"):
            Saver.apply(leaf(1.0))

    def test_setup_context(self):
        class Square(Function):
            @staticmethod
            def forward(x):
                return x * x

            @staticmethod
            def setup_context(ctx, inputs, output):
                ctx.save_for_backward(inputs[0])

            @staticmethod
            def backward(ctx, g):
                return 2 * g * ctx.saved_tensors[0]

        assert gradgradcheck(Square.apply, (leaf(1.5),))
