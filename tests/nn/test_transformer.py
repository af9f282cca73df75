"""The decoder: its definition, causality, loss, generation, and the tokens that it refuses."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from jaxml.nn import dense
from jaxml.nn.norm import layer_norm
from jaxml.nn.positional import sinusoidal
from jaxml.nn.transformer import decoder
from tests import tolerances
from tests.nn.transformer_problems import VOCABULARY, M, decoder_params, numpy_block


def test_decoder_is_its_definition(rng):
    params = decoder_params(rng, n_layers=2)
    tokens = np.array([3, 0, 6, 6])
    x = M**0.5 * params.embedding[tokens] + sinusoidal(4, M, dtype=jnp.float64)
    for one in params.blocks:
        x = numpy_block(one, x, norm="pre", causal=True)
    z = dense.apply(params.output, layer_norm.apply(params.norm, x))
    np.testing.assert_allclose(decoder.apply(params, tokens), z, atol=1e-11)
    surprise = -log_softmax(z[:-1], axis=-1)[np.arange(3), tokens[1:]]
    np.testing.assert_allclose(decoder.loss(params, tokens), surprise.mean(), rtol=1e-12)
    mask = np.array([True, False, True, True])
    got = decoder.loss(params, tokens, mask=mask)
    np.testing.assert_allclose(got, surprise[1:].mean(), rtol=1e-12)
    nothing = jax.value_and_grad(decoder.loss)(params, tokens, mask=np.zeros(4, bool))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(nothing))


def test_the_future_is_not_seen(rng):
    """Other tokens from position 3 on leave the logits before it as they are, to the bit."""
    params = decoder_params(rng)
    one, other = np.array([[1, 2, 3, 4, 5], [1, 2, 3, 6, 0]])
    a, b = decoder.apply(params, one), decoder.apply(params, other)
    np.testing.assert_array_equal(a[:3], b[:3])
    assert (a[3:] != b[3:]).all()
    slope = jax.grad(lambda p: decoder.apply(p, one)[2].sum())(params).embedding
    assert (slope[jnp.array([4, 5])] == 0).all()
    assert (slope[jnp.array([1, 2, 3])] != 0).all()


@given(st.integers(0, 2**31 - 1), st.sampled_from([1, 3]))
def test_cached_generation_is_the_full_forward(seed, t):
    """Greedy tokens are the largest logits of apply on what was generated so far."""
    rng = np.random.default_rng(seed)
    params = decoder_params(rng)
    prompt = rng.integers(0, VOCABULARY, size=(2, t))
    out = decoder.generate(params, prompt, key=jax.random.key(seed), length=5, temperature=0.0)
    assert out.shape == (2, t + 5)
    assert out.dtype == jnp.int32
    np.testing.assert_array_equal(out[:, :t], prompt)
    best = jnp.argmax(decoder.apply(params, out), axis=-1)
    np.testing.assert_array_equal(out[:, t:], best[:, t - 1 : -1])


def test_generation_draws_from_the_softmax(key):
    """Frequencies of the first two tokens against probabilities of apply, at temperature 2."""
    params = decoder_params(np.random.default_rng(1))
    n, T = 4000, 2.0
    prompt = np.full((n, 1), 3)
    out = np.asarray(decoder.generate(params, prompt, key=key, length=2, temperature=T))
    p = np.exp(log_softmax(np.asarray(decoder.apply(params, prompt[0]))[-1] / T))
    counts = np.bincount(out[:, 1], minlength=VOCABULARY)
    assert (abs(counts - n * p) < 5 * np.sqrt(n * p * (1 - p))).all()
    second = out[out[:, 1] == counts.argmax(), 2]
    after = np.array([3, counts.argmax()])
    p = np.exp(log_softmax(np.asarray(decoder.apply(params, after))[-1] / T))
    counts = np.bincount(second, minlength=VOCABULARY)
    assert (abs(counts - second.size * p) < 5 * np.sqrt(second.size * p * (1 - p)) + 1).all()


def test_generation_contract(key):
    """One trace for every temperature; repeatable; another key, other tokens; a single sequence."""
    params = decoder_params(np.random.default_rng(2), dtype=jnp.float32)
    prompt = np.array([1, 2])

    def f(temperature, key):
        return decoder.generate(params, prompt, key=key, length=12, temperature=temperature)

    traced = jax.jit(chex.assert_max_traces(f, n=1))
    one = traced(1.0, key)
    np.testing.assert_array_equal(one, traced(1.0, key))
    np.testing.assert_array_equal(one, f(1.0, key))
    assert (one != traced(1.0, jax.random.fold_in(key, 1))).any()
    assert (one != traced(0.0, key)).any()
    np.testing.assert_array_equal(
        decoder.generate(params, prompt, key=key, length=0), np.array([1, 2])
    )


def test_decoder_contract(rng, key):
    params = decoder_params(rng)
    tokens = rng.integers(0, VOCABULARY, size=(3, 4))
    tol = tolerances.of("float64").routes
    want = decoder.apply(params, tokens)
    for got in (
        jax.jit(decoder.apply)(params, tokens),
        jax.vmap(decoder.apply, (None, 0))(params, tokens),
    ):
        np.testing.assert_allclose(got, want, atol=tol)
    narrow = decoder_params(dtype=jnp.bfloat16)
    assert decoder.apply(narrow, tokens).dtype == jnp.bfloat16
    loss, slope = jax.value_and_grad(decoder.loss)(narrow, tokens)
    assert loss.dtype == jnp.float32
    assert np.isfinite(float(loss))
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(slope))
    other = decoder.loss(params, tokens, rate=0.5, key=key)
    assert other != decoder.loss(params, tokens)


def test_first_loss_is_near_a_guess():
    """Untrained, over many tokens: log V, and half the variance of the logits."""
    params = decoder.init(key=jax.random.key(3), vocabulary=64, d_model=32, n_heads=4, n_layers=2,
                          d_hidden=64)  # fmt: skip
    tokens = np.random.default_rng(0).integers(0, 64, size=(8, 32))
    assert np.log(64) < float(decoder.loss(params, tokens)) < np.log(64) + 0.6


def test_wrong_tokens(key):
    params = decoder_params()
    for wrong, text in (([0, 7], "got 7"), ([-1, 0], "got -1")):
        with pytest.raises(ValueError, match=f"tokens must lie in 0..6: {text}"):
            decoder.apply(params, np.array(wrong))
    with pytest.raises(TypeError, match="tokens must be integers: got dtype float64"):
        decoder.apply(params, np.array([0.0, 1.0]))
    z = jax.jit(decoder.apply)(params, jnp.array([[0, 7, 1], [0, 6, 1]]))
    assert np.isnan(z[0]).all()  # traced: NaN, never a plausible number
    assert np.isfinite(z[1]).all()
    with pytest.raises(
        ValueError, match=r"tokens must hold at least 2 of a sequence: got shape \(1,\)"
    ):
        decoder.loss(params, np.array([0]))
    with pytest.raises(ValueError, match=r"mask must have the shape of tokens, \(3,\): got \(2,\)"):
        decoder.loss(params, np.array([0, 1, 2]), mask=np.ones(2, bool))
    with pytest.raises(ValueError, match="prompt must hold at least 1 token"):
        decoder.generate(params, np.zeros((2, 0), int), key=key, length=3)
    with pytest.raises(ValueError, match=r"temperature must be >= 0\.0: got -1"):
        decoder.generate(params, np.array([0]), key=key, length=3, temperature=-1.0)
    with pytest.raises(ValueError, match="d_model must be even"):
        decoder.init(key=key, vocabulary=3, d_model=5, n_heads=1, n_layers=1, d_hidden=4)
