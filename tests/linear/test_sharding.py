"""Rows split over two devices: the single-device answer, with all-reduce as the only exchange."""

import pytest

from tests import processes
from tests.linear.family import FAMILY

CODE = """
    import importlib
    for name, k, keywords, sizes in {members!r}:
        module = importlib.import_module(f"jaxml.linear.{{name}}")
        for n in sizes:
            rng = np.random.default_rng(n)
            X = rng.normal(size=(n, 3)) + 1.0
            z = X @ [1.0, -1.0, 0.5] + rng.logistic(size=n)
            y = np.digitize(z, [0.0, 1.0]) if k == 3 else (z > 0.5).astype(int) if k else z
            s = rng.uniform(0.5, 2.0, n)
            try:
                same(lambda X, y, s: module.fit(X, y, sample_weight=s, **keywords), X, y, s,
                     atol=1e-9)
            except BaseException as error:
                error.add_note(f"{{name}}.fit of {{n}} rows with {{keywords}}")
                raise
"""
# Orthogonal factors need all rows in one place; the normal equations do not.
CASES = {m.label: dict(m.keywords) for m in FAMILY}
CASES["least_squares"] = {"method": "cholesky"}
LARGE = ("ridge", "logistic", "logistic_l1")


@pytest.mark.parametrize("labels", [False, True], ids=["regression", "classification"])
def test_sharded_rows(labels):
    members = [
        (m.module, m.n_classes, CASES[m.label], (96, 2 * 4096 + 2)[: 1 + (m.label in LARGE)])
        for m in FAMILY
        if bool(m.n_classes) == labels
    ]
    processes.run_on_two_devices(CODE.format(members=members))
