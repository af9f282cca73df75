"""Variances of random weights, and what they do to signals in a deep network. Letters as there.

m independent networks of widths n_0, ..., n_L with normal weights; v their variance, by layer.
q = (|y_L|^2 / n_L) / (|y_0|^2 / n_0) going up, and the same of gradients going down.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["KURTOSIS", "backward", "forward", "variance"]

KURTOSIS = {"uniform": 9 / 5, "normal": 3.0}  # E w^4 / (E w^2)^2

Law = tuple[float, float]  # the mean of q over m networks: its expectation and standard error


def variance(scheme: str, shape: Sequence[int]) -> float:
    """Return v of "xavier" or "he" for a kernel (*window, c_in, c_out), or a vector of inputs."""
    # y_j = sum_i w_ij x_i over fan_in terms        =>  Var y = fan_in v E x^2
    # dJ/dx_i = sum_j w_ij dJ/dy_j over fan_out     =>  Var dJ/dx = fan_out v E (dJ/dy)^2
    # Xavier: fan_in v = 1 and fan_out v = 1 cannot both hold; their mean can: v (in + out)/2 = 1
    # He: E relu(z)^2 = Var z / 2, z being symmetric     =>  fan_in v / 2 = 1
    shape = (*shape, 1) if len(shape) == 1 else tuple(shape)
    window = math.prod(shape[:-2])
    fan_in, fan_out = window * shape[-2], window * shape[-1]
    return {"xavier": 2.0 / (fan_in + fan_out), "he": 2.0 / fan_in}[scheme]


def forward(scheme: str, widths: Sequence[int], m: int) -> Law:
    """Return the law of q going up, through "xavier" layers, or "he" layers each with a ReLU."""
    # Given y (n_in numbers), z_j ~ N(0, v |y|^2) independently, j = 1..n_out.
    # linear:  sum z_j^2 = v |y|^2 chi^2_n,  E chi^2_n = n,  E (chi^2_n)^2 = n^2 + 2n
    #          => E q = v n_in,  E q^2 / (E q)^2 = 1 + 2/n_out
    # ReLU:    relu(z)^2 = z^2 [z > 0], the sign independent of z^2:
    #          E = s/2, E relu^4 = 3 s^2/2  for s = v |y|^2
    #          E (sum)^2 = n (3/2) s^2 + n (n - 1) s^2/4 = s^2 (n^2 + 5n)/4
    #          => E q = v n_in / 2,  E q^2 / (E q)^2 = 1 + 5/n_out
    # Layers are independent given |y|, so both multiply.
    relu = scheme == "he"
    mean, second = 1.0, 1.0
    for n_in, n_out in pairwise(widths):
        v = variance(scheme, (n_in, n_out))
        mean *= v * n_in / (2.0 if relu else 1.0)
        second *= 1.0 + (5.0 if relu else 2.0) / n_out
    return mean, mean * math.sqrt((second - 1.0) / m)


def backward(scheme: str, widths: Sequence[int], m: int) -> Law:
    """Return the law of q going down, from a normal gradient at the top; its error to order 1/n."""
    # g_in = W D g,  D = 1 without ReLU, else diag [z_j > 0]
    # linear:  given g, each of the n_in entries is N(0, v |g|^2)
    #          => E q = v n_out,  E q^2 / (E q)^2 = 1 + 2/n_in
    # ReLU:    w_j w_j' does not see the sign of z_j = w_j'y:  E [z_j > 0] w_j w_j' = v/2 I exactly,
    #          => E q = v n_out / 2 whatever y is
    #          to leading order in 1/n the gates are as good as independent coins:
    #          |D g|^2 = sum_j D_j g_j^2,  E = |g|^2/2,
    #          Var = sum_j g_j^4 / 4 = 3 |g|^4 / (4 (n_out + 2)) for a g of no direction
    #          => E q^2 / (E q)^2 = (1 + 2/n_in) (1 + 3/(n_out + 2))
    relu = scheme == "he"
    mean, second = 1.0, 1.0
    for n_in, n_out in pairwise(widths):
        v = variance(scheme, (n_in, n_out))
        mean *= v * n_out / (2.0 if relu else 1.0)
        second *= (1.0 + 2.0 / n_in) * (1.0 + 3.0 / (n_out + 2) if relu else 1.0)
    return mean, mean * math.sqrt((second - 1.0) / m)
