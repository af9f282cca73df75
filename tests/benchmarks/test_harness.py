"""The benchmark harness at tiny sizes: configuration, statistics, limits, judges, one whole run."""

import copy
import json
import subprocess
import sys
import time
import types
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks import harness, limits, linear, report
from benchmarks.config import JOBS, ConfigError, Timing, load
from benchmarks.quality import Smooth, lasso_gap
from benchmarks.worker import plain, selected

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("bench_*.toml"))
TIMING = Timing(pairs=15, min_pairs=2, seconds=5.0, pause=0.0, wake=0.0, compile_aim=60.0)

TINY = """
[run]
dtypes = ["float32", "float64"]
platform = "cpu"
pairs = 3
min_pairs = 2
seconds = 1
pause = 0.0
wake = 0.0
compile_aim = 60.0
[environment]
MALLOC_TOP_PAD_ = "1000000"
[limits]
copy_bytes = 100_000
gemm = 64
[case."tiny ridge"]
job = "linear.ridge"
aim = 1.0
against = "cholesky"
sizes = { n = 100, d = 3, l2 = 0.1 }
gap = { float32 = 1e-5, float64 = 1e-10 }
[case."tiny ridge".peers]
cholesky = { solver = "cholesky" }
lsqr = { solver = "lsqr", tol = [1.0, 1e-9] }
sloppy = { solver = "lsqr", tol = [1.0] }
"""


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "bench.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_committed_configurations_load(path):
    config = load(path)
    assert config.dtypes == ("float32", "float64")
    assert {case.job for case in config.cases} == set(JOBS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pairs = 3", "pairs = 0", r"run\.pairs: expected an integer at least 1, got 0"),
        ("pairs = 3", "pears = 3", r"run\.pairs: missing, expected an integer at least 1"),
        ("pause = 0.0", "pause = 0.0\nspeed = 1", r"run\.speed: unknown key"),
        ("gemm = 64", 'gemm = "64"', r"limits\.gemm: expected an integer at least 1, got '64'"),
        ("gemm = 64", "gemm = true", r"limits\.gemm: expected an integer at least 1, got True"),
        (
            '"float64"]',
            '"float16"]',
            r"run\.dtypes: expected a list, each entry one of 'float32', 'float64'",
        ),
        ("linear.ridge", "linear.bridge", r"case\.tiny ridge\.job: expected one of linear\.least"),
        ("d = 3, ", "", r"case\.tiny ridge\.sizes\.d: missing, expected an integer"),
        (
            "d = 3, ",
            "d = 3, k = 3, ",
            r"case\.tiny ridge\.sizes\.k: unknown key, expected one of n, d",
        ),
        ("d = 3, ", "d = 3.5, ", r"case\.tiny ridge\.sizes\.d: expected an integer, got 3\.5"),
        (", float64 = 1e-10", "", r"case\.tiny ridge\.gap\.float64: missing, expected a number"),
        (
            'against = "cholesky"',
            'against = "chol"',
            r"tiny ridge\.against: expected one of best, chol",
        ),
        ('{ solver = "cholesky" }', "{}", r"tiny ridge\.peers\.cholesky\.solver: missing"),
        (
            "tol = [1.0]",
            "tol = []",
            r"peers\.sloppy\.tol: expected a list, each entry a number at least 0, got \[\]",
        ),
        (
            "tol = [1.0]",
            'tol = ["tight"]',
            r"peers\.sloppy\.tol: expected a list, each entry a number",
        ),
        ('"1000000"', "1000000", r"environment\.MALLOC_TOP_PAD_: expected a string, got 1000000"),
        ("[limits]", "[limit]", r"limits\.copy_bytes: missing"),
        ("[limits]", "[limits", r"bench\.toml: "),
        ("gap = {", "gap = { bfloat16 = 1.0, ", r"tiny ridge\.gap\.bfloat16: unknown key"),
    ],
)
def test_config_errors_name_the_key(tmp_path, old, new, message):
    path = _written(tmp_path, TINY.replace(old, new, 1))
    assert path.read_text(encoding="utf-8") != TINY
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_missing_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        load(tmp_path / "nowhere.toml")


def test_selected_by_text_and_by_glob():
    cases = load(CONFIGS[0]).cases
    assert selected(cases, None) == cases
    assert {case.job for case in selected(cases, "ridge")} == {"linear.ridge"}
    assert len(selected(cases, "linear.lasso 2000x*")) == 2
    assert selected(cases, "nothing") == ()


def test_pairs_interleave_and_keep_the_fewest():
    order = []
    times = harness.pairs(lambda: order.append("a"), lambda: order.append("b"), TIMING, 4)
    assert order == list("abababab")
    assert len(times.a) == len(times.b) == 4
    hurried = TIMING._replace(seconds=0.0)
    assert len(harness.pairs(lambda: None, lambda: None, hurried, 9).a) == TIMING.min_pairs


def test_short_runs_wake_the_cores_untimed_and_long_ones_do_not(monkeypatch):
    now, order = [0.0], []

    def sleep(seconds):
        now[0] += seconds

    def run(name, seconds):
        order.append(name)
        sleep(seconds)

    clock = types.SimpleNamespace(perf_counter=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(harness, "time", clock)
    sides = (lambda: run("a", 0.5), lambda: run("b", 20.0))
    times = harness.pairs(*sides, TIMING._replace(pause=8.0, wake=2.0, seconds=1e3), 3)
    assert times == harness.Pairs([0.5] * 3, [20.0] * 3)  # what is timed is one run
    # Four runs of 0.5 fill 2; one of 20 does, and is not repeated once its time is known.
    assert "".join(order) == "aaaaabbaaaaabaaaaab"


def test_a_run_longer_than_waking_runs_once_untimed(monkeypatch):
    """Else a run found slow while cores were asleep would never be measured awake."""
    now, order = [0.0], []

    def run(name):
        order.append(name)
        now[0] += 3.0 if len(order) % 2 else 2.5  # late cores, then none

    clock = types.SimpleNamespace(perf_counter=lambda: now[0], sleep=lambda _: None)
    monkeypatch.setattr(harness, "time", clock)
    times = harness.pairs(*(lambda: run("a"), lambda: run("b")), TIMING._replace(wake=2.0), 2)
    assert times == harness.Pairs([2.5, 2.5], [2.5, 2.5])
    assert "".join(order) == "aabbaabb"


def test_interval_is_the_median_and_holds_it():
    times = harness.Pairs([1.0, 2.0, 4.0], [2.0, 6.0, 4.0])
    assert harness.interval(times) == (2.0, 1.0, 3.0)


def test_a_against_a_covers_one():
    matrix = np.random.default_rng(0).standard_normal((100, 100))
    product = jax.jit(lambda a: a @ a @ a)
    a = jax.device_put(matrix)
    harness.seconds_of(lambda: product(a))
    times = harness.pairs(lambda: product(a), lambda: product(a), TIMING, 60)
    ratio, low, high = harness.interval(times)
    # The 95 % interval misses 1 once in twenty honest runs: ask it of a widened one.
    assert low - 0.1 <= 1.0 <= high + 0.1
    assert low <= ratio <= high


def test_a_slower_side_shows():
    times = harness.pairs(lambda: time.sleep(0.002), lambda: time.sleep(0.008), TIMING, 9)
    _, low, high = harness.interval(times)
    assert 1.5 < low <= high


def test_seconds_wait_for_the_device():
    big = jax.random.normal(jax.random.key(0), (700, 700))
    product = jax.jit(lambda a: a @ a @ a @ a)
    jax.block_until_ready(product(big))
    seconds, gathered = [], []
    for _ in range(5):
        seconds.append(harness.seconds_of(lambda: {"deep": (product(big), None)}))
        start = time.perf_counter()
        np.asarray(product(big))
        gathered.append(time.perf_counter() - start)
    assert min(seconds) > 0.3 * min(gathered)


@pytest.mark.parametrize(
    ("required", "tol", "gap"), [(0.1, 0.1, 0.1), (0.05, 0.01, 0.01), (1e-9, 0.01, 0.01)]
)
def test_settle_takes_the_loosest_that_reaches_the_gap(required, tol, gap):
    tried = []

    def make(tol):
        tried.append(tol)
        return lambda: tol

    side = harness.settle(make, lambda answer: answer, (1.0, 0.1, 0.01), required)
    assert (side.tol, side.gap) == (tol, gap)
    assert tried == [t for t in (1.0, 0.1, 0.01) if t >= tol]


def test_settle_keeps_the_best_of_a_stalled_ladder():
    side = harness.settle(
        lambda tol: lambda: tol, lambda tol: {1.0: 0.5, 0.1: 0.7}[tol], (1.0, 0.1), 0.0
    )
    assert (side.tol, side.gap, side.run()) == (1.0, 0.5, 1.0)


def test_limits_are_positive_and_the_larger_term_binds():
    dtype = "float64" if jax.config.jax_enable_x64 else "float32"
    measured = limits.measure(dtype, copy_bytes=80_000, gemm=64)
    assert measured.bandwidth > 0
    assert measured.peak > 0
    ceilings = limits.Limits(bandwidth=100.0, peak=10.0, dtype=dtype)
    memory = limits.against(ceilings, 500.0, 1.0, 10.0)
    assert (memory["binds"], memory["floor_s"], memory["fraction"]) == ("memory", 5.0, 0.5)
    compute = limits.against(ceilings, 1.0, 500.0, 100.0)
    assert (compute["binds"], compute["floor_s"], compute["fraction"]) == ("compute", 50.0, 0.5)


def test_machine_names_what_a_reader_needs():
    found = limits.machine()
    assert found["cores"] >= 1
    assert found["versions"]["jax"]
    assert "hostname" not in json.dumps(found)


def _draw(n=80, d=3):
    rng = np.random.default_rng(1)
    return rng, rng.standard_normal((n, d)), rng.integers(1, 4, n).astype(float)


@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax"])
def test_smooth_minimum_against_scikit_learn(loss):
    linear_model = pytest.importorskip("sklearn.linear_model", reason="the peer is an extra")
    rng, X, s = _draw()
    l2 = 0.05
    if loss == "squared":
        y = X @ np.ones(3) + rng.standard_normal(len(X))
        model = linear_model.Ridge(alpha=l2 * s.sum(), solver="svd").fit(X, y, s)
    else:
        y = rng.integers(0, 2 if loss == "logistic" else 3, len(X))
        C = 1.0 / (l2 * s.sum())
        model = linear_model.LogisticRegression(C=C, solver="newton-cholesky", tol=1e-10)
        model.fit(X, y, s)
    coef, intercept = np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_)
    judge = Smooth(loss, X, y, l2=l2, weight=s)
    start = judge.gap(0.0 * coef, 0.0 * intercept)
    assert start > 1e-4
    assert 0.0 <= judge.gap(coef, intercept) < 1e-12
    assert 1e-8 < judge.gap(coef + 1e-3, intercept) < start
    assert judge.gap(np.nan * coef, intercept) == np.inf


def test_smooth_weight_zero_is_a_removed_row():
    rng, X, s = _draw()
    y = X @ np.ones(3) + rng.standard_normal(len(X))
    s[:20] = 0.0
    spoiled = X.copy()
    spoiled[:20] = np.nan
    coef, intercept = np.ones(3), np.zeros(1)
    whole = Smooth("squared", spoiled, y, l2=0.1, weight=s).gap(coef, intercept)
    assert whole == Smooth("squared", X[20:], y[20:], l2=0.1, weight=s[20:]).gap(coef, intercept)


def test_lasso_gap_bounds_the_suboptimality_and_closes():
    linear_model = pytest.importorskip("sklearn.linear_model", reason="the peer is an extra")
    rng, X, _ = _draw(60, 8)
    y = 3.0 + X @ np.r_[2.0, -1.0, np.zeros(6)] + 0.3 * rng.standard_normal(60)
    s = np.r_[np.zeros(10), np.ones(50)]
    l1 = np.array([0.05, 0.3])
    fits = [linear_model.Lasso(alpha=a, tol=1e-14, max_iter=10**5).fit(X[10:], y[10:]) for a in l1]
    coef = np.array([fit.coef_ for fit in fits])
    intercept = np.array([fit.intercept_ for fit in fits])
    assert (lasso_gap(X, y, coef, intercept, l1=l1, weight=s) < 1e-12).all()

    def primal(w, b, a):
        return 0.5 * np.mean((y[10:] - X[10:] @ w - b) ** 2) + a * np.abs(w).sum()

    for shift in (1e-3, 1e-1):
        gaps = lasso_gap(X, y, coef + shift, intercept, l1=l1, weight=s) * 0.5 * np.var(y[10:])
        for w, b, a, gap in zip(coef, intercept, l1, gaps, strict=True):
            assert gap >= primal(w + shift, b, a) - primal(w, b, a) > 0
    assert np.isinf(lasso_gap(X, y, coef * np.nan, intercept, l1=l1)).all()


def test_plain_is_strict_json():
    assert json.loads(
        json.dumps(plain({"a": [float("inf"), 1.5, (True, None)]}), allow_nan=False)
    ) == {"a": [None, 1.5, [True, None]]}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    pytest.importorskip("sklearn", reason="the peer is an extra")
    folder = tmp_path_factory.mktemp("bench")
    config, out = _written(folder, TINY), folder / "out.json"
    command = [sys.executable, "-m", "benchmarks", str(config), "--json", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "tiny ridge" in done.stdout
    return json.loads(out.read_text())


def test_json_holds_every_measurement(result):
    assert result["schema"] == 1
    assert result["machine"]["platform"] == "cpu"
    assert result["machine"]["environment"]["MALLOC_TOP_PAD_"] == "1000000"
    assert set(result["limits"]) == {"float32", "float64"}
    assert [row["dtype"] for row in result["rows"]] == ["float32", "float64"]
    for row in result["rows"]:
        assert row["gap"] <= row["required_gap"]
        assert row["quality"] in ("equal", "looser")
        assert row["quoted"] == "cholesky"
        assert row["low"] <= row["ratio"] <= row["high"]
        assert row["met"] is (row["ratio"] >= row["aim"])
        assert min(row["compile_s"], row["first_s"], row["median_s"]) > 0
        assert row["limit"]["fraction"] > 0
        assert row["limit"]["binds"] in ("memory", "compute")
        by_name = {peer["name"]: peer for peer in row["peers"]}
        assert by_name["cholesky"]["counts"]
        assert by_name["lsqr"]["counts"]
        assert by_name["lsqr"]["tol"] == 1e-9
        assert not by_name["sloppy"]["counts"]  # fast, and wrong: listed, never quoted
        assert row["best"] in ("cholesky", "lsqr")


def test_table_and_plot_show_a_failed_row_too(result, tmp_path):
    broken = copy.deepcopy(result)
    broken["rows"].append({"name": "tiny broken", "dtype": "float32", "error": "ValueError: no"})
    assert report.table(broken["rows"]).row_count == 3
    report.plot(broken, tmp_path / "ratios.png")
    assert (tmp_path / "ratios.png").stat().st_size > 1000


def test_wrong_calls_exit_with_2(tmp_path):
    config = _written(tmp_path, TINY)
    for extra, message in ((["--only", "nothing"], "no such case"), ([], "run.pairs")):
        if not extra:
            config.write_text(TINY.replace("pairs = 3", "", 1), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks", str(config), *extra]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 2
        assert message in done.stderr


SIZES = {
    "linear.least_squares": {"n": 120, "d": 4},
    "linear.ridge": {"n": 120, "d": 4, "l2": 0.1},
    "linear.logistic": {"n": 120, "d": 4, "l2": 0.1},
    "linear.softmax": {"n": 300, "l2": 0.1, "noise": 0.2},
    "linear.lasso": {"n": 120, "d": 8, "fraction": 0.1},
    "linear.lasso_path": {"n": 120, "d": 8, "penalties": 4, "folds": 3, "least": 0.1},
    "linear.logistic_grid": {"penalties": 3, "folds": 2, "strongest": 1.0, "weakest": 0.01},
}
OPTIONS = {
    "linear.least_squares": [{"order": "C"}, {"order": "F"}],
    "linear.ridge": [{"solver": "svd", "order": "F"}, {"solver": "cholesky"}],
    "linear.logistic": [{"solver": "newton-cholesky"}, {"solver": "saga"}],
    "linear.softmax": [{"solver": "newton-cg"}],
    "linear.lasso": [{"precompute": False}, {"precompute": True, "order": "C"}],
    "linear.lasso_path": [{"precompute": False}, {"cv": True, "n_jobs": 2}],
    "linear.logistic_grid": [
        {"solver": "newton-cholesky"},
        {"solver": "lbfgs", "warm_start": False, "n_jobs": 2},
    ],
}


@pytest.mark.parametrize("job", linear.JOBS)
def test_both_sides_solve_the_same_problem(job):
    pytest.importorskip("sklearn", reason="the peer is an extra")
    dtype = "float64" if jax.config.jax_enable_x64 else "float32"
    problem = JOBS[job].build(np.random.default_rng(2), dtype, **SIZES[job])
    fit = problem.fit(*jax.device_put(problem.arrays), tol=None)
    coef, intercept = np.asarray(fit.params.coef), np.asarray(fit.params.intercept)
    assert coef.dtype == dtype
    required = 1e-6 if dtype == "float64" else 1e-4
    assert problem.gap(coef, intercept) <= required
    assert problem.gap(coef + 0.1, intercept) > required
    assert min(problem.work(int(np.max(fit.info.n_iter)))) > 0
    for options in OPTIONS[job]:
        run, read = JOBS[job].peer(problem.given, 1e-7, **options)
        theirs = read(run())
        assert [np.shape(a) for a in theirs] == [coef.shape, intercept.shape]
        assert problem.gap(*theirs) <= required, options
