"""What importing tells about the versions underneath."""

from importlib import metadata

import jaxml
from tests import processes

FAKE = """
    import warnings, jax, jaxlib
    jax.__version__ = {version!r}
    jax.__version_info__ = tuple(map(int, {version!r}.split(".")))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import jaxml
    print("|".join(str(w.message) for w in caught))
"""


def test_the_version_that_computes_wrong_numbers_is_named():
    said = processes.run(FAKE.format(version="0.10.2"))
    assert "0.10.2" in said
    assert "wrong" in said
    assert "39103" in said


def test_other_versions_are_silent():
    assert processes.run(FAKE.format(version="0.10.1")).strip() == ""


def test_the_installed_version_is_the_one_imported():
    try:
        installed = metadata.version("jaxml")
    except metadata.PackageNotFoundError:  # run from the checkout
        return
    assert installed == jaxml.__version__


def test_importing_switches_no_setting():
    said = processes.run("""
        import jax
        before = dict(jax.config.values)
        import jaxml, jaxml.linear
        changed = {k for k, v in jax.config.values.items() if before.get(k) != v}
        print(sorted(changed), jax.config.jax_enable_x64)
    """)
    assert said.split() == ["[]", "False"]
