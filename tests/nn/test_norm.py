"""Batch and layer normalization: PyTorch's and flax's conventions, precision, several members."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml.nn.norm import _moments, batch_norm, layer_norm
from tests import processes

DTYPES = [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64]


def drawn(rng, d=3):
    """Parameters and a state that are not the initial ones."""
    params = batch_norm.Params(*(jnp.asarray(rng.uniform(0.5, 2.0, d)) for _ in range(2)))
    return params, batch_norm.State(
        jnp.asarray(rng.standard_normal(d)), jnp.asarray(rng.uniform(0.5, 2, d))
    )


def by_numpy(params, state, x, *, training, momentum, eps, unbiased=True):
    """(y, mean, variance) by NumPy's own moments, in float64."""
    scale, bias, mean, variance = (np.asarray(v, float) for v in (*params, *state))
    x = np.asarray(x, float)
    axes = tuple(range(x.ndim - 1))
    if not training:
        return scale * (x - mean) / np.sqrt(variance + eps) + bias, mean, variance
    mu, v, kept = x.mean(axes), x.var(axes), x.var(axes, ddof=1 if unbiased else 0)
    y = scale * (x - mu) / np.sqrt(v + eps) + bias
    return y, momentum * mean + (1 - momentum) * mu, momentum * variance + (1 - momentum) * kept


SHAPES = st.sampled_from([(6, 3), (2, 3, 2, 3), (4, 5, 3)])


@given(st.integers(0, 2**31 - 1), SHAPES, st.booleans(), st.booleans(), st.floats(0, 1),
       st.floats(1e-6, 1.0))  # fmt: skip
def test_numpy_agrees(seed, shape, training, unbiased, momentum, eps):
    rng = np.random.default_rng(seed)
    params, state = drawn(rng)
    x = 3 + 2 * rng.standard_normal(shape)
    kw = {"training": training, "momentum": momentum, "eps": eps, "unbiased": unbiased}
    y, new = batch_norm.apply(params, state, x, **kw)
    for got, want in zip((y, *new), by_numpy(params, state, x, **kw), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@given(seed=st.integers(0, 2**31 - 1), shape=SHAPES, training=st.booleans(),
       momentum=st.floats(0.01, 1.0), eps=st.floats(1e-5, 0.1))  # fmt: skip
def test_pytorch_agrees(dtype, seed, shape, training, momentum, eps):
    """Outputs, gradients and running statistics of torch.nn.functional.batch_norm."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(seed)
    params, state = jax.tree.map(lambda v: v.astype(dtype), drawn(rng))
    x, g = (jnp.asarray(rng.standard_normal(shape), dtype) for _ in range(2))

    def first(a):  # channels second
        return torch.tensor(np.moveaxis(np.asarray(a), -1, 1).copy())

    t, scale, bias = (
        first(x).requires_grad_(),
        *(torch.tensor(np.asarray(v)).requires_grad_() for v in params),
    )
    mean, variance = (torch.tensor(np.array(v)) for v in state)
    want = torch.nn.functional.batch_norm(
        t, mean, variance, scale, bias, training=training, momentum=momentum, eps=eps
    )
    want.backward(first(g))

    def ours(params, x):
        return batch_norm.apply(params, state, x, training=training, momentum=1 - momentum, eps=eps)

    y, back, new = jax.vjp(ours, params, x, has_aux=True)
    grads, dx = back(g)
    atol = {jnp.float32: 2e-5, jnp.float64: 1e-12}[dtype]

    def last(a):
        return np.moveaxis(a.detach().numpy(), 1, -1)

    for got, theirs in (
        (y, last(want)), (dx, last(t.grad)), (grads.scale, scale.grad.numpy()),
        (grads.bias, bias.grad.numpy()), (new.mean, mean.numpy()), (new.variance, variance.numpy()),
    ):  # fmt: skip
        assert got.dtype == dtype
        size = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(got, theirs, rtol=0, atol=atol * size)


def test_flax_agrees(rng):
    """Flax's decay and its biased variance, carried over three batches."""
    linen = pytest.importorskip("flax.linen", reason="flax is not installed")
    params, state = drawn(rng)
    module = linen.BatchNorm(
        use_running_average=False, momentum=0.97, epsilon=1e-3, use_fast_variance=False
    )
    stats = {"mean": state.mean, "var": state.variance}
    for k in range(3):
        x = jnp.asarray(rng.standard_normal((5, 2, 3)) + k)
        variables = {"params": params._asdict(), "batch_stats": stats}
        want, new = module.apply(variables, x, mutable=["batch_stats"])
        stats = new["batch_stats"]
        y, state = batch_norm.apply(
            params, state, x, training=True, momentum=0.97, eps=1e-3, unbiased=False
        )
        np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(state.mean, stats["mean"], rtol=1e-12)
        np.testing.assert_allclose(state.variance, stats["var"], rtol=1e-12)


def test_one_value_per_channel():
    params, state = batch_norm.init(3)
    for shape in ((1, 3), (0, 3), (1, 1, 1, 3), (3,)):
        with pytest.raises(ValueError, match=r"at least 2 values per channel .* holds [01]"):
            batch_norm.apply(params, state, jnp.ones(shape), training=True)
        y, new = batch_norm.apply(params, state, jnp.ones(shape), training=False)
        assert y.shape == shape
        assert new is state
    # One image of several pixels, and one row on each of several devices, have a variance.
    batch_norm.apply(params, state, jnp.ones((1, 2, 1, 3)), training=True)
    member = partial(batch_norm.apply, params, state, training=True, axis_name="b")
    y, _ = jax.vmap(member, axis_name="b")(jnp.arange(6.0).reshape(2, 1, 3))
    np.testing.assert_allclose(y[:, 0, 0], [-1, 1], rtol=1e-4)


def test_refusals():
    params, state = batch_norm.init(3)
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 3\): got \(2, 4\)"):
        batch_norm.apply(params, state, jnp.ones((2, 4)), training=True)
    with pytest.raises(ValueError, match=r"momentum must lie in \[0, 1\]: got 1.1"):
        batch_norm.apply(params, state, jnp.ones((2, 3)), training=True, momentum=1.1)
    with pytest.raises(ValueError, match="momentum must be >= 0"):
        batch_norm.apply(params, state, jnp.ones((2, 3)), training=True, momentum=-0.1)
    for apply in (
        partial(batch_norm.apply, params, state, training=True),
        partial(layer_norm.apply, layer_norm.init(3)),
    ):
        with pytest.raises(ValueError, match="eps must be > 0"):
            apply(jnp.ones((2, 3)), eps=0.0)
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 3\): got \(3, 2\)"):
        layer_norm.apply(layer_norm.init(3), jnp.ones((3, 2)))
    for init in (layer_norm.init, batch_norm.init):
        with pytest.raises(ValueError, match="d must be >= 1"):
            init(0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype, rng):
    params, state = batch_norm.init(4, dtype=dtype)
    wide = jnp.promote_types(dtype, jnp.float32)
    assert params.scale.dtype == params.bias.dtype == dtype
    assert state.mean.dtype == state.variance.dtype == wide
    x = jnp.asarray(5 + rng.standard_normal((40, 4)), dtype)
    z = np.asarray(x, float)
    tol = max(4 * float(jnp.finfo(dtype).eps), 1e-14)
    y, new = batch_norm.apply(params, state, x, training=True)
    assert y.dtype == dtype
    assert new.mean.dtype == new.variance.dtype == wide
    want = (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5)
    np.testing.assert_allclose(np.asarray(y, float), want, rtol=tol, atol=tol)
    y = layer_norm.apply(layer_norm.init(4, dtype=dtype), x)
    assert y.dtype == dtype
    want = (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(np.asarray(y, float), want, rtol=tol, atol=tol)
    # Integers become the default float, parameters follow x.
    assert layer_norm.apply(layer_norm.init(4, dtype=dtype), np.arange(4)).dtype == jnp.float64


def test_digits_far_from_zero(rng):
    """Rows and channels at 1450 +- 1 and at 1e4 in float32, as rounded."""
    for offset in (1450.0, 1e4):
        x = (offset + rng.standard_normal((64, 32))).astype(np.float32)
        z = x.astype(float)
        y = layer_norm.apply(layer_norm.init(32), x)
        want = (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-5)
        np.testing.assert_allclose(y, want, rtol=0, atol=2e-6)
        y, _ = batch_norm.apply(*batch_norm.init(32), x, training=True)
        np.testing.assert_allclose(y, (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5), rtol=0, atol=2e-6)
    y = layer_norm.apply(layer_norm.init(3), jnp.float32(1e4) + jnp.arange(3, dtype=jnp.float32))
    np.testing.assert_allclose(y, np.sqrt(1.5) * np.array([-1, 0, 1]), atol=1e-5)


@pytest.mark.parametrize("n", [9600, 5003])
def test_many_rows(n, rng):
    """Rows enough for several blocks, or a prime number of them; sampled rows that are unlike."""
    for offset in (0.0, 1450.0):
        x = (offset + rng.standard_normal((n, 8))).astype(np.float32)
        x[:: _moments.STRIDE] += 30.0
        z, g = x.astype(float), rng.standard_normal((n, 8))
        params, state = batch_norm.init(8)
        y, back, new = jax.vjp(
            lambda x, p=params, s=state: batch_norm.apply(p, s, x, training=True), x, has_aux=True
        )
        want = (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5)
        np.testing.assert_allclose(y, want, rtol=2e-6, atol=2e-6)
        np.testing.assert_allclose(new.mean, 0.1 * z.mean(0), rtol=1e-6)
        np.testing.assert_allclose(new.variance, 0.9 + 0.1 * z.var(0, ddof=1), rtol=1e-6)
        dx = (g - g.mean(0) - want * (g * want).mean(0)) / np.sqrt(z.var(0) + 1e-5)
        np.testing.assert_allclose(back(jnp.asarray(g, jnp.float32))[0], dx, atol=2e-6)


def test_constant_rows_and_channels():
    for value in (0.0, 7.3, -1e6):
        x = jnp.full((4, 3), value, jnp.float32)
        f = partial(layer_norm.apply, layer_norm.init(3))
        for g in (f, lambda x: batch_norm.apply(*batch_norm.init(3), x, training=True)[0]):
            np.testing.assert_array_equal(g(x), np.zeros((4, 3)))
            dx = jax.grad(lambda x, g=g: (jnp.cos(jnp.arange(12.0)).reshape(4, 3) * g(x)).sum())(x)
            assert np.isfinite(dx).all()
    # One feature: every row is constant.
    np.testing.assert_array_equal(layer_norm.apply(layer_norm.init(1), jnp.ones((5, 1))), 0)


@given(st.integers(0, 2**31 - 1))
def test_theorems(seed):
    """sum dx = 0 and sum dx xhat = 0 over a channel; y sees neither shift nor scale of x."""
    rng = np.random.default_rng(seed)
    params, state = drawn(rng)
    x, g = jnp.asarray(rng.standard_normal((6, 3))), jnp.asarray(rng.standard_normal((6, 3)))

    def f(x):
        return batch_norm.apply(params, state, x, training=True, eps=1e-30)[0]

    y, back = jax.vjp(f, x)
    (dx,) = back(g)
    xhat = (y - params.bias[None]) / params.scale[None]
    np.testing.assert_allclose(dx.sum(0), 0, atol=1e-10)
    np.testing.assert_allclose((dx * xhat).sum(0), 0, atol=1e-10)
    np.testing.assert_allclose(f(3.5 * x + 2.0), y, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(y.mean(0), params.bias, atol=1e-12)
    np.testing.assert_allclose(y.std(0), params.scale, rtol=1e-12)


def test_pytorch_layer_norm_agrees(rng):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    params, x, g = drawn(rng)[0], rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 4, 3))
    t, scale, bias = (torch.tensor(np.array(v)).requires_grad_() for v in (x, *params))
    want = torch.nn.functional.layer_norm(t, (3,), scale, bias, eps=1e-3)
    want.backward(torch.tensor(g))
    ours = partial(layer_norm.apply, eps=1e-3)
    y, back = jax.vjp(ours, layer_norm.Params(*params), jnp.asarray(x))
    grads, dx = back(jnp.asarray(g))
    for got, theirs in (
        (y, want.detach()),
        (dx, t.grad),
        (grads.scale, scale.grad),
        (grads.bias, bias.grad),
    ):
        np.testing.assert_allclose(got, theirs.numpy(), rtol=1e-11, atol=1e-12)


def test_epsilon_and_momentum_are_traced(rng):
    """One compilation serves all values, and derivatives in them are those of the formula."""
    params, state = drawn(rng)
    x = jnp.asarray(rng.standard_normal((6, 3)))

    @jax.jit
    def total(eps, momentum):
        y, new = batch_norm.apply(params, state, x, training=True, eps=eps, momentum=momentum)
        z = layer_norm.apply(layer_norm.Params(*params), x, eps=eps)
        return (y**3).sum() + (z**3).sum() + (new.mean * new.variance).sum()

    got = jax.grad(total, (0, 1))(0.1, 0.7)
    for i, h in ((0, jnp.array([1e-5, 0])), (1, jnp.array([0, 1e-5]))):
        up, down = total(0.1 + h[0], 0.7 + h[1]), total(0.1 - h[0], 0.7 - h[1])
        np.testing.assert_allclose(got[i], (up - down) / 2e-5, rtol=1e-7)
    assert total._cache_size() == 1 or total._cache_size() == 2  # Python and array scalars


def test_transformations_agree(rng):
    params, state = drawn(rng)
    x = jnp.asarray(rng.standard_normal((4, 6, 3)))
    f = partial(batch_norm.apply, params, state, training=True)
    plain = [f(row) for row in x]
    many = jax.vmap(f)(x)
    for i, (y, new) in enumerate(plain):
        for got, want in zip(
            (many[0][i], many[1].mean[i], many[1].variance[i]), (y, *new), strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)
    jitted = jax.jit(f)(x[0])
    np.testing.assert_allclose(jitted[0], plain[0][0], rtol=1e-14, atol=1e-14)
    np.testing.assert_array_equal(f(x[0])[0], plain[0][0])


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from functools import partial
from jax.sharding import PartitionSpec as P
from jaxml.nn.norm import batch_norm
mesh = jax.make_mesh((2,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
rng = np.random.default_rng(0)
params, state = batch_norm.init(3, dtype=jnp.float64)

@partial(jax.shard_map, mesh=mesh, in_specs=(P(), P("rows")), out_specs=(P("rows"), P()))
def sharded(params, x):
    return batch_norm.apply(params, state, x, training=True, axis_name="rows")

def whole(params, x):
    return batch_norm.apply(params, state, x, training=True)

for n in (8, 19200):  # the second is cut into blocks
    x, g = (jnp.asarray(rng.standard_normal((n, 3))) for _ in range(2))
    f = jax.jit(sharded)
    (y, new), back = jax.vjp(f, params, x)
    (want, kept), expected = jax.vjp(whole, params, x)
    zero = jax.tree.map(jnp.ones_like, new)
    ours, theirs = (y, new, back((g, zero))), (want, kept, expected((g, zero)))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)
    # Rows sharded under Auto axes need no name at all, and stay where they are.
    placed = jax.device_put(x, jax.sharding.NamedSharding(mesh, P("rows")))
    call = jax.jit(whole).lower(params, placed).compile()
    assert "all-gather" not in call.as_text() and "all-to-all" not in call.as_text()
    for a, b in zip(jax.tree.leaves(call(params, placed)), jax.tree.leaves((want, kept))):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)
print("equal")
"""


def test_a_batch_over_two_devices_is_one_batch():
    flags = "--xla_force_host_platform_device_count=2"
    assert processes.run(SHARDED, XLA_FLAGS=flags, JAX_ENABLE_X64="1") == "equal\n"
