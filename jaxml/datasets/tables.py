"""Five tables that the literature keeps coming back to, one compressed text file each.

Every number is the published decimal, so that float64 gets all of its digits. The files are plain
comma-separated text: one line of names, then one line per row with the target last.
"""

import csv
import gzip
import inspect
from collections.abc import Callable
from importlib import resources
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Column, Labels, Rows

__all__ = ["Dataset", "breast_cancer", "diabetes", "digits", "iris", "wine"]


class Dataset(NamedTuple):
    """A table of n rows with d features, and what is known about it.

    The names are strings: pass X and y, not the whole Dataset, through jit.
    """

    X: Rows  # features, in the units of the loader's docstring
    y: Labels | Column  # (n,) int32 classes 0..n_classes-1, or real numbers
    feature_names: tuple[str, ...]  # d names
    target_names: tuple[str, ...]  # one per class; for a regression the name of y
    description: str  # source, units, license: the docstring of the loader

    @property
    def n_classes(self) -> int:
        """The number of classes; 0 where y is a real number."""
        return len(self.target_names) if jnp.issubdtype(self.y.dtype, jnp.integer) else 0


def _read(
    name: str, loader: Callable[..., Dataset], classes: tuple[str, ...] | None, dtype: Any
) -> Dataset:
    wanted = np.dtype(jnp.result_type(float) if dtype is None else dtype)
    if not jnp.issubdtype(wanted, jnp.floating):
        raise TypeError(f"dtype must be a floating type: got {wanted}")
    if jax.dtypes.canonicalize_dtype(wanted) != wanted:
        raise ValueError(f"dtype {wanted} needs jax_enable_x64: expected float32")
    file = resources.files("jaxml.datasets").joinpath("data", f"{name}.csv.gz")
    lines = gzip.decompress(file.read_bytes()).decode("ascii").splitlines()
    *features, target = next(csv.reader(lines[:1]))
    table = np.loadtxt(lines[1:], delimiter=",", dtype=np.float64, ndmin=2)
    y = table[:, -1]
    return Dataset(
        X=jnp.asarray(table[:, :-1].astype(wanted)),
        y=jnp.asarray(y.astype(wanted if classes is None else np.int32)),
        feature_names=tuple(features),
        target_names=(target,) if classes is None else classes,
        description=inspect.getdoc(loader) or "",  # no docstrings under python -OO
    )


def iris(*, dtype: Any = None) -> Dataset:
    """Iris flowers: X (150, 4), y in 0..2; four lengths in cm, 50 flowers of each of three species.

    Setosa is linearly separable from the other two; those are not separable from each other.

    Source: R. A. Fisher (1936), The use of multiple measurements in taxonomic problems, Annals of
    Eugenics 7, 179-188, table I. The numbers are those of the paper; the copy in the UCI repository
    differs in two rows. License: published facts; UCI distributes them under CC BY 4.0.

    Args:
      dtype: Of X; None is the default float.

    Raises:
      TypeError: dtype is not a floating type.
      ValueError: dtype is float64 and jax_enable_x64 is off.
    """
    return _read("iris", iris, ("setosa", "versicolor", "virginica"), dtype)


def wine(*, dtype: Any = None) -> Dataset:
    """Italian wines: X (178, 13), y in 0..2; a chemical analysis, each column in a unit of its own.

    59, 71 and 48 wines from three cultivars of one region. The scales differ by a factor of 1000
    (proline in the hundreds, hue near 1): standardize first.

    Source: M. Forina et al. (1991), PARVUS; S. Aeberhard, M. Forina (1992), Wine, UCI Machine
    Learning Repository, doi:10.24432/C5PC7J. License: CC BY 4.0.

    Args:
      dtype: Of X; None is the default float.

    Raises:
      TypeError: dtype is not a floating type.
      ValueError: dtype is float64 and jax_enable_x64 is off.
    """
    return _read("wine", wine, ("class_0", "class_1", "class_2"), dtype)


def breast_cancer(*, dtype: Any = None) -> Dataset:
    """Breast masses: X (569, 30), y in {0, 1}; y = 1 is benign (357 rows), y = 0 malignant (212).

    Ten measures of the cell nuclei in an image (lengths in units of the image's pixels, areas in
    their squares, the rest dimensionless): their mean, standard error and worst value. With all 30
    features the classes are linearly separable.

    Source: W. Wolberg, O. Mangasarian, N. Street, W. Street (1993), Breast Cancer Wisconsin
    (Diagnostic), UCI Machine Learning Repository, doi:10.24432/C5DW2B. License: CC BY 4.0.

    Args:
      dtype: Of X; None is the default float.

    Raises:
      TypeError: dtype is not a floating type.
      ValueError: dtype is float64 and jax_enable_x64 is off.
    """
    return _read("breast_cancer", breast_cancer, ("malignant", "benign"), dtype)


def digits(*, dtype: Any = None) -> Dataset:
    """Handwritten digits: X (1797, 64), y in 0..9; images of 8 by 8 pixels, row by row.

    Each pixel counts the dark dots, 0 to 16, in a 4 by 4 block of a 32 by 32 bitmap. The writers of
    these rows (the test part of the source) wrote none of the source's training part. Some border
    pixels are 0 in every row.

    Source: E. Alpaydin, C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, doi:10.24432/C50P49. License: CC BY 4.0.

    Args:
      dtype: Of X; None is the default float.

    Raises:
      TypeError: dtype is not a floating type.
      ValueError: dtype is float64 and jax_enable_x64 is off.
    """
    return _read("digits", digits, tuple("0123456789"), dtype)


def diabetes(*, dtype: Any = None) -> Dataset:
    """Diabetes patients: X (442, 10), y real, 25 to 346; raw columns, neither centered nor scaled.

    age in years; sex coded 1, 2; bmi in kg/m^2; bp, the mean blood pressure, in mm Hg; six blood
    serum measures: s1 total cholesterol, s2 low- and s3 high-density lipoproteins, s4 the ratio
    s1/s3, s5 the log of triglycerides (as it seems), s6 blood sugar. y is a measure of how far the
    disease progressed one year later. Published coefficients mostly refer to centered columns of
    unit 2-norm: (X - X.mean(0)) / (X.std(0) * sqrt(442)).

    Source: B. Efron, T. Hastie, I. Johnstone, R. Tibshirani (2004), Least angle regression, Annals
    of Statistics 32, 407-499, table 1; the authors' file of raw data. License: made public with
    the paper, without a stated license; the numbers are also part of scikit-learn (BSD-3-Clause).

    Args:
      dtype: Of X and y; None is the default float.

    Raises:
      TypeError: dtype is not a floating type.
      ValueError: dtype is float64 and jax_enable_x64 is off.
    """
    return _read("diabetes", diabetes, None, dtype)
