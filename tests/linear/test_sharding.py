"""Rows split over two devices: the single-device answer, with all-reduce as the only exchange."""

import pytest

from tests import processes
from tests.linear.family import FAMILY

CODE = """
    import re, importlib
    import jax, jax.numpy as jnp, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec
    jax.config.update("jax_enable_x64", True)
    assert len(jax.devices()) == 2
    mesh = jax.make_mesh((2,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    module = importlib.import_module("jaxml.linear.{module}")
    keywords = {keywords!r}
    for n in {sizes!r}:
        rng = np.random.default_rng(n)
        X = rng.normal(size=(n, 3)) + 1.0
        z = X @ [1.0, -1.0, 0.5] + rng.logistic(size=n)
        y = np.digitize(z, [0.0, 1.0]) if {k} == 3 else (z > 0.5).astype(int) if {k} else z
        s = rng.uniform(0.5, 2.0, n)
        fit = jax.jit(lambda X, y, s: module.fit(X, y, sample_weight=s, **keywords))
        split = [
            jax.device_put(a, NamedSharding(mesh, PartitionSpec("rows", *[None] * (a.ndim - 1))))
            for a in (X, y, s)
        ]
        text = fit.lower(*split).compile().as_text()
        kinds = set(re.findall(
            r"(all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)\\(", text))
        assert kinds == {{"all-reduce"}}, (n, kinds)
        whole, parts = fit(X, y, s), fit(*split)
        assert int(parts.info.code) == int(whole.info.code) == 0, (n, parts.info)
        for a, b in zip(jax.tree.leaves(parts.params), jax.tree.leaves(whole.params)):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
    print("same")
"""
# Orthogonal factors need all rows in one place; the normal equations do not.
CASES = {m.label: dict(m.keywords) for m in FAMILY}
CASES["least_squares"] = {"method": "cholesky"}


@pytest.mark.parametrize("member", FAMILY, ids=lambda m: m.label)
def test_sharded_rows(member):
    sizes = (96, 2 * 4096 + 2) if member.module in ("ridge", "logistic") else (96,)
    code = CODE.format(
        module=member.module, keywords=CASES[member.label], k=member.n_classes, sizes=sizes
    )
    flags = "--xla_force_host_platform_device_count=2"
    assert processes.run(code, XLA_FLAGS=flags, JAX_PLATFORMS="cpu").strip() == "same"
