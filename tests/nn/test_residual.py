"""Residual blocks and networks: PyTorch as oracle, the identity in them, and what they refuse."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.nn import conv
from jaxml.nn.residual import basic, bottleneck, resnet
from tests import tolerances

KINDS = {"basic": basic, "bottleneck": bottleneck}
# kind, c_in, c_out, stride, preactivation
BLOCKS = [
    ("basic", 4, 4, 1, False),
    ("basic", 3, 4, 2, False),
    ("basic", 4, 4, 2, True),
    ("bottleneck", 8, 8, 1, True),
    ("bottleneck", 3, 8, 2, False),
]


def _block(key, rng, kind, c_in, c_out, stride, preactivation):
    """A block with norms and running moments that are not those of init, in float64."""
    params, state = KINDS[kind].init(
        key=key, c_in=c_in, c_out=c_out, stride=stride, preactivation=preactivation,
        dtype=jnp.float64,
    )  # fmt: skip
    norms = jax.tree.map(lambda leaf: leaf + 0.3 * rng.standard_normal(leaf.shape), params.norms)
    state = jax.tree.map(lambda leaf: leaf + 0.5 * rng.random(leaf.shape), state)
    return params._replace(norms=norms), state


def _images(rng, *shape):
    return jnp.asarray(rng.standard_normal(shape))


def _torch_block(torch, params, state, x, strides, *, preactivation, training):
    """The block in PyTorch: y, its leaves in our order, and its buffers in the order of State."""
    functional = torch.nn.functional
    leaves, buffers = [], []

    def leaf(value, axes=None):
        value = np.array(value) if axes is None else np.array(value).transpose(axes).copy()
        leaves.append(torch.tensor(value, requires_grad=True))
        return leaves[-1]

    kernels = [leaf(p.kernel, (3, 2, 0, 1)) for p in params.convs]
    norms = [tuple(map(leaf, norm)) for norm in params.norms]
    moments = [tuple(torch.tensor(np.array(v)) for v in s) for s in state.norms]

    def normed(h, norm, s):
        buffers.append(s)
        return functional.batch_norm(h, *s, *norm, training=training, momentum=0.2, eps=1e-3)

    def convolved(k, h):
        return functional.conv2d(h, kernels[k], stride=strides[k], padding=kernels[k].shape[2] // 2)

    if params.projection is not None:
        W = leaf(params.projection.conv.kernel, (3, 2, 0, 1))
        last = params.projection.norm and tuple(map(leaf, params.projection.norm))
    first = h = images = torch.tensor(np.array(x).transpose(0, 3, 1, 2).copy(), requires_grad=True)
    count = len(kernels)
    for k in range(count):
        if preactivation:
            h = functional.relu(normed(h, norms[k], moments[k]))
            first = first if k else h
            h = convolved(k, h)
        else:
            h = normed(convolved(k, h), norms[k], moments[k])
            h = functional.relu(h) if k < count - 1 else h
    skip = images
    if params.projection is not None:
        skip = functional.conv2d(first if preactivation else images, W, stride=max(strides))
        if last is not None:
            at = tuple(torch.tensor(np.array(v)) for v in state.projection)
            skip = normed(skip, last, at)
    y = h + skip if preactivation else functional.relu(h + skip)
    return y, [*leaves, images], buffers


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_values_gradients_and_moments_against_pytorch(key, rng, block, training):
    torch = pytest.importorskip("torch", reason="PyTorch is in the extra bench")
    kind, c_in, _, stride, preactivation = block
    params, state = _block(key, rng, *block)
    x = _images(rng, 2, 5, 6, c_in)
    strides = (stride, 1) if kind == "basic" else (1, stride, 1)
    options = {"preactivation": preactivation, "training": training}
    theirs, leaves, buffers = _torch_block(torch, params, state, x, strides, **options)
    g = rng.standard_normal(theirs.shape)
    theirs.backward(torch.tensor(g))

    def f(params, x):
        return KINDS[kind].apply(params, state, x, stride=stride, momentum=0.8, eps=1e-3, **options)

    y, pull, new = jax.vjp(f, params, x, has_aux=True)
    grads = pull(jnp.asarray(g.transpose(0, 2, 3, 1)))

    def kernel(t):
        return t.numpy().transpose(2, 3, 1, 0) if t.ndim == 4 else t.numpy()

    def images(t):
        return t.detach().numpy().transpose(0, 2, 3, 1)

    *of_params, of_x = [leaf.grad for leaf in leaves]
    want = [images(theirs), *map(kernel, of_params), images(of_x)]
    for a, b in zip([y, *jax.tree.leaves(grads)], want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * max(np.abs(b).max(), 1.0))
    moments = [v.numpy() for pair in buffers for v in pair]
    for a, b in zip(jax.tree.leaves(new), moments, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_with_the_last_gain_zero_a_block_is_relu(key, rng, kind):
    params, state = KINDS[kind].init(key=key, c_in=8, c_out=8)
    nothing = jax.tree.map(jnp.zeros_like, params.norms[-1])
    params = params._replace(norms=(*params.norms[:-1], nothing))
    x = jnp.asarray(rng.standard_normal((2, 4, 3, 8)), jnp.float32)
    y, _ = KINDS[kind].apply(params, state, x, training=True)
    np.testing.assert_array_equal(y, np.maximum(x, 0))


def test_the_gradient_of_a_block_holds_the_identity(key, rng):
    block = ("basic", 3, 3, 1, True)
    params, state = _block(key, rng, *block)
    x = _images(rng, 1, 3, 2, 3)

    def H(x):
        return basic.apply(params, state, x, training=True, preactivation=True)[0].ravel()

    J = jax.jacrev(H)(x).reshape(18, 18)

    # F from its parts, each written out here
    def F(x):
        h = x
        for norm, kernel in zip(params.norms, params.convs, strict=True):
            mean, variance = h.mean((0, 1, 2), keepdims=True), h.var((0, 1, 2), keepdims=True)
            z = (h - mean) / jnp.sqrt(variance + 1e-5)
            z = norm.scale[None, None, None] * z + norm.bias[None, None, None]
            h = conv.apply(kernel, jnp.maximum(z, 0.0))
        return h.ravel()

    np.testing.assert_allclose(J - jax.jacfwd(F)(x).reshape(18, 18), np.eye(18), atol=1e-11)


@pytest.mark.parametrize("preactivation", [False, True])
def test_network_learns_and_its_state_moves(key, rng, preactivation):
    params, state = resnet.init(
        key=key, c_in=1, n_classes=3, widths=(4, 8), blocks=(1, 1), preactivation=preactivation
    )
    y = jnp.asarray(rng.integers(0, 3, 24))
    x = jnp.asarray(rng.standard_normal((24, 8, 8, 1)) + y[:, None, None, None], jnp.float32)

    def loss(params, state):
        logits, state = resnet.apply(params, state, x, training=True, preactivation=preactivation)
        return -jax.nn.log_softmax(logits)[jnp.arange(24), y].mean(), state

    @jax.jit
    def step(params, state):
        (value, state), grads = jax.value_and_grad(loss, has_aux=True)(params, state)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), state, value

    before, values = state, []
    for _ in range(80):
        params, state, value = step(params, state)
        values.append(float(value))
    assert values[-1] < 0.3 * values[0]
    assert all(
        (a != b).any() for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(state), strict=True)
    )
    logits, same = resnet.apply(params, state, x, training=False, preactivation=preactivation)
    assert same is state or jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), same, state))
    assert (logits.argmax(1) == y).mean() > 0.8


@pytest.mark.parametrize(("kind", "dtype"), [("basic", "bfloat16"), ("bottleneck", "float32")])
def test_network_keeps_the_dtype(key, rng, kind, dtype):
    options = {"widths": (4, 8), "blocks": (1, 1), "kind": kind, "dtype": jnp.dtype(dtype)}
    params, state = resnet.init(key=key, c_in=2, n_classes=5, **options)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {dtype}
    wide = "float64" if dtype == "float64" else "float32"
    assert {leaf.dtype.name for leaf in jax.tree.leaves(state)} == {wide}
    x = jnp.asarray(rng.standard_normal((3, 7, 5, 2)), dtype)  # odd sizes
    logits, new = resnet.apply(params, state, x, training=True)
    assert logits.shape == (3, 5)
    assert logits.dtype == dtype
    assert np.isfinite(np.asarray(logits, np.float64)).all()
    assert {leaf.dtype.name for leaf in jax.tree.leaves(new)} == {wide}


def test_transformations_agree(key, rng):
    params, state = resnet.init(
        key=key, c_in=1, n_classes=2, widths=(4, 4), blocks=(1, 1), dtype=jnp.float64
    )
    xs = _images(rng, 3, 2, 4, 4, 1)

    def f(x):
        return resnet.apply(params, state, x, training=True)

    routes = tolerances.of("float64").routes
    loop = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(f(x) for x in xs))
    step = jax.jit(chex.assert_max_traces(f, n=1))
    jitted = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(step(x) for x in xs))
    for other in (jitted, jax.vmap(f)(xs)):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=routes, atol=routes), other, loop
        )
    jax.tree.map(np.testing.assert_array_equal, f(xs[0]), f(xs[0]))


def test_a_batch_spread_over_an_axis_is_one_batch(key, rng):
    params, state = _block(key, rng, "basic", 3, 4, 2, False)
    x = _images(rng, 4, 5, 4, 3)
    whole, moments = basic.apply(params, state, x, training=True, stride=2)

    def shard(x):
        return basic.apply(params, state, x, training=True, stride=2, axis_name="devices")

    y, spread = jax.vmap(shard, axis_name="devices")(x.reshape(2, 2, 5, 4, 3))
    np.testing.assert_allclose(y.reshape(whole.shape), whole, rtol=1e-11, atol=1e-11)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-12), spread, moments)


def test_one_image_of_one_pixel(key):
    params, state = resnet.init(key=key, c_in=1, n_classes=2, widths=(4,), blocks=(1,))
    x = jnp.ones((1, 1, 1, 1))
    assert resnet.apply(params, state, x, training=False)[0].shape == (1, 2)
    with pytest.raises(ValueError, match="at least 2 values per channel"):
        resnet.apply(params, state, x, training=True)


def test_errors_say_what_was_expected(key):
    x = jnp.ones((2, 4, 4, 3))
    with pytest.raises(ValueError, match=r"c_out must be a multiple of 4.*: got 6"):
        bottleneck.init(key=key, c_in=3, c_out=6)
    params, state = basic.init(key=key, c_in=3, c_out=3)
    with pytest.raises(ValueError, match="skip is the identity has stride 1: got 2"):
        basic.apply(params, state, x, training=True, stride=2)
    with pytest.raises(ValueError, match=r"x must have shape \(n, h, w, 3\): got \(2, 4, 4, 2\)"):
        basic.apply(params, state, x[..., :2], training=True)
    with pytest.raises(ValueError, match=r"momentum must lie in \[0, 1\]: got 1.5"):
        basic.apply(params, state, x, training=True, momentum=1.5)
    with pytest.raises(ValueError, match="eps must be > 0"):
        basic.apply(params, state, x, training=True, eps=0.0)
    with pytest.raises(ValueError, match="stride must be >= 1: got 0"):
        basic.init(key=key, c_in=3, c_out=3, stride=0)
    params, state = basic.init(key=key, c_in=3, c_out=4)
    with pytest.raises(ValueError, match="made these parameters for post-activation"):
        basic.apply(params, state, x, training=True, preactivation=True)
    with pytest.raises(ValueError, match=r"one entry per stage: got \(4, 8\) and \(1,\)"):
        resnet.init(key=key, c_in=1, n_classes=2, widths=(4, 8), blocks=(1,))
    with pytest.raises(ValueError, match="kind must be one of basic, bottleneck: got 'wide'"):
        resnet.init(key=key, c_in=1, n_classes=2, kind="wide")
