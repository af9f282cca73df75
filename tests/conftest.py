"""Settings shared by all tests: float64 available, no silent broadcasting, examples repeatable."""

import atexit
import gc
import os
import pathlib
import shutil
import tempfile

# Tests do not plot to a screen and do not grab the whole of a GPU's memory per worker.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
# The workers compile the same fits: one compiles, the others read, for as long as the run lasts.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache = tempfile.mkdtemp(prefix="jaxml-tests-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"
    atexit.register(shutil.rmtree, _cache, ignore_errors=True)

import hypothesis
import jaxlib
import numpy as np
import pytest

# Most of the time of this suite is compilation. Of it jaxlib 0.10's fusion emitters take half, and
# the older ones are as exact; the cutting of programs into parts takes a fifth of what remains, and
# the second and third pass of LLVM's optimizer, which leave the vectors of the first, a tenth.
# Later versions, the canaries and the fits of `jaxml verify` have the default.
if jaxlib.__version__.startswith("0.10."):
    quick = (
        "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1 "
        "--xla_backend_optimization_level=1"
    )
    os.environ["XLA_FLAGS"] = f"{quick} {os.environ.get('XLA_FLAGS', '')}".strip()

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Compilation makes the first example of a shape slow: no deadline. Failures must repeat.
hypothesis.settings.register_profile(
    "jaxml", derandomize=True, deadline=None, max_examples=15, database=None, print_blob=False
)
hypothesis.settings.load_profile("jaxml")


def pytest_collection_finish():
    """Leave what is imported by now out of every garbage collection: tracing causes many."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Drop compiled programs when they are many: Linux ends a process at 65530 memory maps."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 25000:
        jax.clear_caches()


@pytest.fixture
def key(request: pytest.FixtureRequest) -> jax.Array:
    """A key of its own for each test, the same in every run."""
    seed = sum(ord(c) * (i + 1) for i, c in enumerate(request.node.nodeid))
    return jax.random.key(seed % 2**31)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A NumPy generator of its own for each test, the same in every run."""
    return np.random.default_rng([ord(c) for c in request.node.name])
