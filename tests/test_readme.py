"""The Python blocks of README.md run, in order, as one program."""

import re
from pathlib import Path

from tests import processes

README = Path(__file__).parents[1] / "README.md"


def test_the_examples_of_the_readme_run():
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), flags=re.M | re.S)
    assert blocks, "README.md shows no Python example"
    processes.run("\n".join(blocks))
