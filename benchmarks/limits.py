"""What the machine allows: copy bandwidth and matrix-product peak, measured in the same run.

    t* = max(bytes / BW, flops / P),    fraction = t* / t

bytes and flops come from a formula per job that counts what no method can avoid or what the method
in use needs at the iterations it took; the term that is larger is the one that binds. The caches of
a CPU may carry small data faster than BW, so a job counts each array once.
"""

import os
import platform
import time
from importlib import metadata
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.harness import seconds_of

__all__ = ["Limits", "against", "cores", "load", "machine", "measure"]

REPEATS = 7  # the fastest counts: a ceiling is not an average


class Limits(NamedTuple):
    """Measured ceilings of this device, for one dtype."""

    bandwidth: float  # bytes/s, read and written counted, the input updated in place
    peak: float  # flop/s of a square product at precision HIGHEST
    dtype: str


def measure(dtype: str, *, copy_bytes: int, gemm: int) -> Limits:
    """Measure the ceilings; random numbers, since some chips multiply zeros faster."""
    size = max(copy_bytes // jnp.dtype(dtype).itemsize, 1)
    update = jax.jit(lambda x: x + 1, donate_argnums=0)
    x = update(jax.random.normal(jax.random.key(0), (size,), dtype))
    best = float("inf")
    for _ in range(REPEATS):
        jax.block_until_ready(x)
        start = time.perf_counter()
        x = jax.block_until_ready(update(x))
        best = min(best, time.perf_counter() - start)
    bandwidth = 2 * x.nbytes / best
    a, b = jax.random.normal(jax.random.key(1), (2, gemm, gemm), dtype)
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST))
    seconds_of(lambda: product(a, b))
    best = min(seconds_of(lambda: product(a, b)) for _ in range(REPEATS))
    return Limits(bandwidth, 2 * gemm**3 / best, dtype)


def against(limits: Limits, n_bytes: float, flops: float, seconds: float) -> dict[str, Any]:
    """Return the floor of a job, which term binds, and the fraction reached."""
    moving, computing = n_bytes / limits.bandwidth, flops / limits.peak
    floor = max(moving, computing)
    return {
        "bytes": float(n_bytes),
        "flops": float(flops),
        "floor_s": floor,
        "binds": "memory" if moving >= computing else "compute",
        "fraction": floor / seconds,
    }


def machine() -> dict[str, Any]:
    """Return what a reader needs to judge the numbers: processor, devices, versions."""
    device = jax.devices()[0]
    return {
        "processor": _processor(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "platform": device.platform,
        "device": f"{len(jax.devices())} x {device.device_kind}",
        "versions": {name: _version(name) for name in PACKAGES},
        "environment": {k: v for k, v in sorted(os.environ.items()) if k in ENVIRONMENT},
    }


PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "scikit-learn", "joblib", "torch", "flax")
ENVIRONMENT = (
    "JAX_ENABLE_X64", "JAX_PLATFORMS", "LD_PRELOAD", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_",
    "MALLOC_TRIM_THRESHOLD_", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "XLA_FLAGS",
)  # fmt: skip


def cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> float | None:
    """Return the load average of the last minute, where the system tells it."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
