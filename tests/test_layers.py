"""The floors of the house, read from the syntax trees: who imports whom, and where autodiff is."""

import ast
from pathlib import Path

import pytest

import jaxml

ROOT = Path(jaxml.__file__).parent
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
VOCABULARY = {"losses", "penalties", "kernels"}
FAMILIES = {"optim", "linear", "bayes", "svm", "latent", "trees", "neighbors", "nn"}
INSTRUMENTS = {
    "metrics", "preprocessing", "model_selection", "analysis", "training", "datasets",
}  # fmt: skip
AUTODIFF = {
    "grad", "value_and_grad", "jacobian", "jacrev", "jacfwd", "hessian", "vjp", "jvp", "linearize",
    "linear_transpose", "custom_jvp", "custom_vjp",
}  # fmt: skip
ALLOWED = {"jax.numpy", "jax.scipy", "jax.lax", "jaxml._typing"}
PLAIN = {"functools", "itertools", "math", "typing", "collections.abc"}


def _floor(part):
    """0 for the spine and the root, 1 vocabulary, 2 families, 3 instruments, 4 evidence."""
    if part.startswith("_") and part not in ("__init__", "__main__"):
        return 0
    for floor, names in enumerate((VOCABULARY, FAMILIES, INSTRUMENTS), start=1):
        if part in names:
            return floor
    return {"closed_form": 4, "verify": 5, "cli": 6, "__main__": 7, "__init__": 8}[part]


def _imports(path):
    """Dotted names imported anywhere in a file, functions included."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def _own(path):
    return [name.split(".")[1] for name in _imports(path) if name.startswith("jaxml.")]


def test_the_tree_was_found():
    assert {Path("losses.py"), Path("cli.py"), Path("verify/compare.py")} <= set(FILES)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_downwards(path):
    part = path.parts[0].removesuffix(".py")
    floor = _floor(part)
    for used in _own(path):
        if used in ("__version__",) or used == part:
            continue
        assert used == "verify" or _floor(used) <= floor, f"{path} imports {used} from above"
        # A spine module may use another, and a family another, but no one uses the evidence.
        assert used != "verify" or part in ("verify", "cli"), f"{path}: only the CLI imports verify"
        assert used != "closed_form" or part == "verify", f"{path} imports the closed forms"


CLOSED = [path for path in FILES if path.parts[0] == "closed_form"]


@pytest.mark.parametrize("path", CLOSED, ids=str)
def test_closed_forms_stand_alone(path):
    for name in _imports(path):
        module = name.rsplit(".", 1)[0]
        known = {module, name} & (ALLOWED | PLAIN) or module.startswith(("jax.scipy", "jax.lax"))
        assert known, f"{path} imports {name}"
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    called = {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name)
    }
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert not (called & AUTODIFF) - defined, f"{path} uses autodiff"


def test_autodiff_by_attribute_would_be_seen():
    # jnp has no autodiff and jax itself may not be imported: the two checks above close the door.
    assert not any("jax" in list(_imports(path)) for path in CLOSED)


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[0] != "verify"], ids=str)
def test_no_assert_and_no_print_in_library_code(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    asserted = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert not asserted, f"{path} asserts at lines {asserted}"
    printed = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert path.name == "cli.py" or not printed, f"{path} prints at lines {printed}"


FACTORIZATIONS = {
    "cholesky", "cho_factor", "cho_solve", "eigh", "eigvalsh", "inv", "lstsq", "pinv", "qr",
    "solve", "solve_triangular", "svd",
}  # fmt: skip


@pytest.mark.parametrize("path", [p for p in FILES if p not in CLOSED], ids=str)
def test_factorizations_come_from_one_module(path):
    """Elsewhere a batch of them could wait for a thread pool that waits for it; see _lapack."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    called = {
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in FACTORIZATIONS
    }
    own = {name for name in called if name.startswith(("jnp.linalg", "jax.scipy", "jax.lax"))}
    assert not own or path == Path("_lapack.py"), f"{path} calls {own}"
