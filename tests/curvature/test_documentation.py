"""The example of the documentation is run."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "curvature.md"


def test_the_example_gives_what_the_page_says():
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted >= 10
    assert result.failed == 0


def test_the_example_has_fifteen_lines():
    lines = PAGE.read_text().split("```python\n")[1].split("\n\n```")[0].splitlines()
    assert len(lines) <= 15
