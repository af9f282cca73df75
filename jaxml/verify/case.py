"""What a claim is (`Case`), how closely it must hold (`Tolerance`), and what was found (`Verdict`).

A derivative case differentiates ``value`` with respect to its first argument. The error between two
answers a, b is relative, one for each leaf: E = ||a - b|| / max(||a||, ||b||, s).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = [
    "DERIVATIVES", "ELEMENTWISE", "EXACT", "HESSIAN", "ITERATED", "KINDS", "ROUNDING", "SOLVE",
    "STANDARD_ERRORS", "Case", "Expected", "Point", "Reading", "Tolerance", "Verdict", "point",
]  # fmt: skip

DERIVATIVES = ("gradient", "jacobian", "hessian")
KINDS = (*DERIVATIVES, "solution", "identity", "bound", "statistic")


class Tolerance(NamedTuple):
    """How far two answers may lie apart, and why."""

    float64: float  # bound on E in float64
    float32: float  # bound on E of a float32 answer against the hand form in float64
    reason: str  # where the bounds come from
    stencil: float = 1e-9  # bound on E against central differences (float64)
    scale: float = 0.0  # s, the size below which a difference does not count
    norm: str = "l2"  # "l2": one number per leaf; "entry": each entry relative to itself


ROUNDING = Tolerance(1e-12, 1e-5, "rounding of a sum of some hundred terms")
ELEMENTWISE = Tolerance(1e-13, 1e-5, "a few roundings per entry", norm="entry")
HESSIAN = Tolerance(1e-11, 1e-5, "rounding, twice differentiated", stencil=1e-8)
SOLVE = Tolerance(1e-9, 1e-3, "rounding times the condition number of a well-scaled design")
ITERATED = Tolerance(1e-7, 1e-2, "the default tol of a fit times the condition number")
EXACT = Tolerance(0.0, 0.0, "no rounding is involved")
STANDARD_ERRORS = Tolerance(5.0, 5.0, "standard errors: 6e-7 of all seeds lie farther out")


class Point(NamedTuple):
    """Arguments of one evaluation."""

    args: tuple
    kwargs: dict[str, Any]


def point(*args: Any, **kwargs: Any) -> Point:
    """Return the arguments as a Point."""
    return Point(args, kwargs)


class Expected(NamedTuple):
    """What the hand side of a statistic returns, both trees like the estimate."""

    mean: Any  # the expectation by theory
    standard_error: Any  # the standard deviation of the estimate by theory


class Case(NamedTuple):
    """One claim: auto and hand agree on the domain that draw samples.

    Kinds: gradient, jacobian, hessian (of value, in its first argument); solution, identity
    (auto == hand); bound (auto <= hand, entrywise); statistic (hand returns Expected).
    """

    name: str  # "linear.logistic/gradient"
    topics: tuple[str, ...]  # ids of jaxml.verify.topics
    kind: str  # one of KINDS
    auto: Callable  # args -> pytree: the library, differentiated by JAX
    hand: Callable  # args -> pytree: the closed form
    draw: Callable  # (key, dtype) -> tuple of arguments, or Point
    tol: Tolerance  # per dtype, with the reason
    ref: str  # where the derivation is from
    value: Callable | None = (
        None  # args -> scalar or array: what the numeric referee differentiates
    )
    mutants: tuple[Callable, ...] = ()  # wrong hand forms that must be caught
    symmetric: bool = False  # the result equals its transpose, so a transpose is no mutant


class Reading(NamedTuple):
    """One comparison: a route, at one leaf of the result."""

    route: str  # "autodiff", "forward", "stencil", "adjoint", "jit", "vmap", "eager", ...
    leaf: str  # jax.tree_util.keystr of the leaf
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the error is at most the tolerance; False for NaN."""
        return bool(self.error <= self.tolerance)

    @property
    def severity(self) -> float:
        """Error in units of the tolerance; what does not hold lies above 1, NaN farthest."""
        if self.holds:
            return self.error / self.tolerance if self.tolerance else 0.0
        return self.error / self.tolerance if self.tolerance and self.error > 0 else float("inf")


class Verdict(NamedTuple):
    """What was found about one case in one dtype."""

    name: str
    dtype: str
    readings: tuple[Reading, ...]  # every comparison made, the worst over all draws
    seconds: float = 0.0
    note: str = ""  # the details a person needs when it fails

    @property
    def worst(self) -> Reading:
        """The reading closest to its tolerance, or farthest beyond it."""
        return max(self.readings, key=lambda r: r.severity)

    @property
    def passed(self) -> bool:
        """Whether there are readings and all hold."""
        return bool(self.readings) and all(r.holds for r in self.readings)

    @property
    def error(self) -> float:
        """The error of the worst reading."""
        return self.worst.error

    @property
    def tolerance(self) -> float:
        """The tolerance of the worst reading."""
        return self.worst.tolerance

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes taken, in order."""
        return tuple(dict.fromkeys(r.route for r in self.readings))

    def report(self) -> str:
        """Return the verdict as text: one line per reading that fails, or one in all."""
        state = "agrees" if self.passed else "DISAGREES"
        head = (
            f"{self.name} [{self.dtype}] {state}: worst error {self.error:.2e}, "
            f"tolerance {self.tolerance:.0e} ({self.worst.route}{self.worst.leaf}); "
            f"routes {', '.join(self.routes)}"
        )
        failed = [
            f"  {r.route} at {r.leaf or 'the result'}: error {r.error:.3e} > {r.tolerance:.0e}"
            for r in self.readings
            if not r.holds
        ]
        return "\n".join([head, *failed, *([self.note] if self.note else [])])

    def __str__(self) -> str:
        """Return the report."""
        return self.report()
