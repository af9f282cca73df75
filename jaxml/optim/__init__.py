"""Optimizers: steps in optax's contract, and solvers that return a certified ``Fit``.

gradient_descent  momentum  adam  adamw        optax GradientTransformations
minimize          any optax optimizer, to a certificate
newton  lbfgs     smooth objectives of few and of many parameters
proximal_gradient smooth + simple: penalties with kinks, constraints (projections)
coordinate_descent quadratics with an elastic-net penalty
"""

from jaxml.optim import projections
from jaxml.optim.adaptive import adam, adamw
from jaxml.optim.coordinate import coordinate_descent
from jaxml.optim.first_order import gradient_descent, momentum
from jaxml.optim.lbfgs import lbfgs
from jaxml.optim.minimize import minimize
from jaxml.optim.newton import newton
from jaxml.optim.proximal import proximal_gradient

__all__ = [
    "adam",
    "adamw",
    "coordinate_descent",
    "gradient_descent",
    "lbfgs",
    "minimize",
    "momentum",
    "newton",
    "projections",
    "proximal_gradient",
]
