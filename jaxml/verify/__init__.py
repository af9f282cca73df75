"""Evidence: autodiff against hand derivations, for every model and for a user's own.

Case       one claim, in the literal tables of ``jaxml.verify.cases``
run        the verdict on a case by independent routes
mutants    wrong variants of a case, which must all fail
check_gradient   the same for a user's loss and derivation
"""

from jaxml.verify.case import (
    ELEMENTWISE,
    EXACT,
    HESSIAN,
    ITERATED,
    ROUNDING,
    SOLVE,
    STANDARD_ERRORS,
    Case,
    Expected,
    Point,
    Reading,
    Tolerance,
    Verdict,
    point,
)
from jaxml.verify.compare import run
from jaxml.verify.gradient import check_gradient
from jaxml.verify.mutation import Mutation, mutants, mutate
from jaxml.verify.registry import all_cases, by_topic, select
from jaxml.verify.topics import TOPICS

__all__ = [
    "ELEMENTWISE", "EXACT", "HESSIAN", "ITERATED", "ROUNDING", "SOLVE", "STANDARD_ERRORS", "TOPICS",
    "Case", "Expected", "Mutation", "Point", "Reading", "Tolerance", "Verdict",
    "all_cases", "by_topic", "check_gradient", "mutants", "mutate", "point", "run", "select",
]  # fmt: skip
