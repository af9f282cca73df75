"""Rows split over two devices: the single-device answer, with all-reduce as the only exchange."""

import pytest

from tests import processes
from tests.linear.family import FAMILY

CODE = """
    import importlib
    module = importlib.import_module("jaxml.linear.{module}")
    keywords = {keywords!r}
    for n in {sizes!r}:
        rng = np.random.default_rng(n)
        X = rng.normal(size=(n, 3)) + 1.0
        z = X @ [1.0, -1.0, 0.5] + rng.logistic(size=n)
        y = np.digitize(z, [0.0, 1.0]) if {k} == 3 else (z > 0.5).astype(int) if {k} else z
        s = rng.uniform(0.5, 2.0, n)
        same(lambda X, y, s: module.fit(X, y, sample_weight=s, **keywords), X, y, s, atol=1e-9)
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
    processes.run_on_two_devices(code)
