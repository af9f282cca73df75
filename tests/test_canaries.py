"""Compiler defects that this version must not have, or that our own forms must avoid."""

import ast
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.verify.canaries import CANARIES, order_key
from tests import processes

CACHED = """
    import jax
    hits = []
    jax.monitoring.register_event_listener(
        lambda event, **_: hits.append(event) if event.endswith("cache_hits") else None)
    import jax.numpy as jnp
    from jaxml.linear import ridge
    fit = ridge.fit(jnp.arange(12.0).reshape(6, 2) ** 2, jnp.arange(6.0), l2=0.5)
    print(len(hits), fit.params.coef.tolist())
"""


def _seconds(f, *args):
    """The best of several runs, so that other work on the machine cannot fail a test."""
    jax.block_until_ready(f(*args))
    times = []
    for _ in range(7):
        start = time.perf_counter()
        jax.block_until_ready(f(*args))
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.fixture(scope="module")
def sung():
    """What each canary returns with the compiler's own settings, not those of the tests."""
    text = """
        from jaxml.verify.canaries import CANARIES
        print({name: canary() for name, canary in CANARIES.items()})
    """
    return ast.literal_eval(processes.run(text, XLA_FLAGS=""))


@pytest.mark.parametrize("name", CANARIES)
def test_canary(name, sung):
    assert sung[name], f"{name}: this jaxlib returns wrong values"


def test_order_key_orders_as_the_floats():
    x = np.array([-np.inf, -2.5, -1e-30, -0.0, 0.0, 1e-30, 3.0, np.inf, np.nan], np.float32)
    key = np.asarray(order_key(jnp.asarray(x)))
    assert key.dtype == np.int32
    assert key[3] == key[4]
    assert (np.diff(np.delete(key, 3)) > 0).all()


def test_a_loop_updates_a_long_array_in_place():
    """jax#40101: a small update that rewrites the whole array would take a second here."""

    def fill(x):
        def body(i, x):
            return jax.lax.dynamic_update_slice(x, jnp.full(16, i, x.dtype), (i * 9,))

        return jax.lax.fori_loop(0, 10_000, body, x)

    assert _seconds(jax.jit(fill), jnp.zeros(100_000, jnp.float32)) < 0.05


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="CUDA only")
def test_a_scatter_add_is_atomic():
    """jax#38806: as a compare-and-swap loop it would take thousands of times as long."""
    index = jnp.arange(1_000_000) % 8

    def add(x):
        return jnp.zeros(8, x.dtype).at[index].add(x)

    assert _seconds(jax.jit(add), jnp.ones(1_000_000, jnp.float32)) < 0.005


def test_a_second_process_reads_what_the_first_compiled(tmp_path):
    setting = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    first, second = (processes.run(CACHED, **setting).split(maxsplit=1) for _ in range(2))
    assert int(first[0]) == 0
    assert int(second[0]) > 0
    assert second[1] == first[1]
