from __future__ import annotations

import ast
import re
from pathlib import Path

from nirgen.validate.checks import CHECKS, GROUPS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "validation.md").read_text(encoding="utf-8")
SOURCE = "\n".join(path.read_text() for path in sorted((ROOT / "nirgen" / "validate").glob("*.py")))
TESTS = [ast.parse(path.read_text()) for path in sorted((ROOT / "tests" / "validate").glob("test_*.py"))]


def asserted() -> set[str]:
    """The strings that the tests of this folder expect: in assertions, in parameters, in tables of faults."""
    nodes = [node for test in TESTS for node in ast.walk(test)]
    decorators = [each for node in nodes if isinstance(node, ast.FunctionDef) for each in node.decorator_list]
    tables = [node for node in nodes if isinstance(node, ast.AnnAssign)]
    claims = [node.test for node in nodes if isinstance(node, ast.Assert)]
    claims = [claim for claim in claims if not (isinstance(claim, ast.Compare) and isinstance(claim.ops[0], ast.NotIn))]
    return {
        node.value
        for claim in (*claims, *decorators, *tables)
        for node in ast.walk(claim)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_the_page_has_every_check_as_it_is() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (\w+) \| (.*) \| (.*) \| (.*) \|$", PAGE, flags=re.MULTILINE)
    assert rows == [(name, check.severity, check.finds, check.breaks, check.remedy) for name, check in CHECKS.items()]


def test_checks_are_in_the_order_of_the_groups() -> None:
    groups = [check.group for check in CHECKS.values()]
    assert groups == sorted(groups, key=list(GROUPS).index)
    assert set(groups) == set(GROUPS)


def test_every_check_can_find_something_and_a_test_asserts_that_it_does() -> None:
    assert [name for name in CHECKS if SOURCE.count(f'"{name}"') < 2] == []
    assert CHECKS.keys() - asserted() == set()
