"""The metrics as one table: what each takes, and scikit-learn's or NumPy's answer to the same."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn import metrics as theirs

from jaxml import metrics

__all__ = ["CLASSES", "CORE", "FAMILY", "Member", "data", "ece"]

CLASSES = 3


class Member(NamedTuple):
    """A metric of (y_true, prediction), by the kind of prediction it takes."""

    label: str
    kind: str  # "labels", "classes", "scores", "probabilities", "simplex", "columns" or "numbers"
    ours: Callable[..., Any]
    theirs: Callable[..., Any]


def ece(y: np.ndarray, p: np.ndarray, s: np.ndarray | None, n_bins: int = 10) -> float:
    """Expected calibration error, bin by bin."""
    s = np.ones(len(y)) if s is None else np.asarray(s, np.float64)
    at = np.minimum((p * n_bins).astype(int), n_bins - 1)
    off = 0.0
    for b in np.unique(at[s > 0]):
        rows = at == b
        W = s[rows].sum()
        off += W / s.sum() * abs(s[rows] @ y[rows] / W - s[rows] @ p[rows].astype(float) / W)
    return off


def _adjusted(y: np.ndarray, z: np.ndarray, s: np.ndarray | None) -> float:
    N = len(y) if s is None else s.sum()
    return 1 - (1 - theirs.r2_score(y, z, sample_weight=s)) * (N - 1) / (N - 2 - 1)


def _of(name: str, **kw: Any) -> Callable[..., Any]:
    function = getattr(metrics, name)
    return lambda y, p, s=None: function(y, p, sample_weight=s, **kw)


def _peer(name: str, **kw: Any) -> Callable[..., Any]:
    function = getattr(theirs, name)
    return lambda y, p, s=None: function(y, p, sample_weight=s, **kw)


def _averaged(name: str) -> list[Member]:
    """A score of classes: of two, and by every average of three."""
    peer, binary = f"{name}_score", {"zero_division": 0.0}
    members = [Member(name, "labels", _of(name, **binary), _peer(peer, **binary))]
    for average in ("macro", "micro", "weighted", None):
        ours = _of(name, n_classes=CLASSES, average=average, **binary)
        other = _peer(peer, average=average, labels=None if average else range(CLASSES), **binary)
        members.append(Member(f"{name}-{average}", "classes", ours, other))
    return members


def _sum_of_parts(y: Any, p: Any, s: Any = None) -> Any:
    parts = metrics.brier_decomposition(y, p, n_bins=7, sample_weight=s)
    return parts.reliability - parts.resolution + parts.uncertainty + parts.within


def _areas(average: str | None) -> Callable[..., Any]:
    def areas(y: np.ndarray, Z: np.ndarray, s: np.ndarray | None = None) -> Any:
        each = [theirs.roc_auc_score(y == c, Z[:, c], sample_weight=s) for c in range(CLASSES)]
        W = [np.sum((y == c) * (1.0 if s is None else s)) for c in range(CLASSES)]
        return (
            each if average is None else np.average(each, weights=W if average != "macro" else None)
        )

    return areas


FAMILY = (
    Member("accuracy", "classes", _of("accuracy"), _peer("accuracy_score")),
    Member("confusion_matrix", "classes", _of("confusion_matrix", n_classes=CLASSES),
           _peer("confusion_matrix", labels=range(CLASSES))),
    *_averaged("precision"), *_averaged("recall"), *_averaged("f1"),
    Member("roc_auc", "scores", _of("roc_auc"), _peer("roc_auc_score")),
    *(Member(f"roc_auc-{a}", "columns", _of("roc_auc", average=a), _areas(a))
      for a in ("macro", "weighted", None)),
    Member("log_loss", "probabilities", _of("log_loss"), _peer("log_loss", labels=[0, 1])),
    Member("log_loss-classes", "simplex", _of("log_loss"),
           _peer("log_loss", labels=range(CLASSES))),
    Member("brier_score", "probabilities", _of("brier_score"), _peer("brier_score_loss")),
    Member("brier_score-classes", "simplex", _of("brier_score"),
           lambda y, P, s=None: np.average(
               ((P - np.eye(CLASSES)[y]) ** 2).sum(axis=1), weights=s)),
    Member("brier_decomposition", "probabilities",
           _sum_of_parts, _peer("brier_score_loss")),
    Member("expected_calibration_error", "probabilities",
           _of("expected_calibration_error", n_bins=7),
           lambda y, p, s=None: ece(y, p, s, n_bins=7)),
    Member("expected_calibration_error-classes", "simplex", _of("expected_calibration_error"),
           lambda y, P, s=None: ece(P.argmax(axis=1) == y, P.max(axis=1), s)),
    Member("mean_squared_error", "numbers", _of("mean_squared_error"), _peer("mean_squared_error")),
    Member("r2", "numbers", _of("r2"), _peer("r2_score")),
    Member("adjusted_r2", "numbers", _of("adjusted_r2", n_features=2),
           lambda y, z, s=None: _adjusted(y, z, s)),
)  # fmt: skip

# One of each program: averages share theirs.
REPEATED = ("precision", "recall", "f1-", "roc_auc-", "brier_score-")
CORE = tuple(
    m for m in FAMILY
    if not m.label.startswith(REPEATED) or m.label in ("f1-macro", "roc_auc-weighted")
)  # fmt: skip


def data(kind: str, n: int = 60, *, dtype: Any = "float64", seed: int = 0) -> tuple:
    """Labels or targets, a prediction of that kind, and weights; scores hold many ties."""
    rng = np.random.default_rng([seed, n])
    k = CLASSES if kind in ("classes", "simplex", "columns") else 2
    y = np.concatenate([np.arange(k), np.arange(k), rng.integers(0, k, n - 2 * k)])
    s = rng.uniform(0.5, 2.0, n).astype(dtype)
    prediction: Any
    if kind in ("labels", "classes"):
        prediction = np.where(rng.random(n) < 0.6, y, rng.integers(0, k, n))
    elif kind == "scores":
        prediction = np.round(rng.normal(size=n) + y, 1).astype(dtype)
    elif kind == "columns":
        prediction = np.round(rng.normal(size=(n, k)) + np.eye(k)[y], 1).astype(dtype)
    elif kind == "probabilities":
        prediction = rng.uniform(0.01, 0.99, n).astype(dtype)
    elif kind == "simplex":
        prediction = rng.dirichlet(np.ones(k), n).astype(dtype)
    else:
        y = (3 + rng.normal(size=n)).astype(dtype)
        prediction = (y + 0.5 * rng.normal(size=n)).astype(dtype)
    return y, prediction, s
