"""docs/constants.md: every number of the model, the scheduling rules and the optimizer, as it stands in the code."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "constants.md"
_PACKAGES: Final = ("rts/cloudai_rts", "optimizer/cloudai_optimizer")
_HEADER: Final = """# Constants

Numbers of the model ([model.md](model.md)) and of the optimizer, written by `make chart` from the code, where comments
say why each has its value. Weights and learned quantities with their bounds: [contracts.md](contracts.md).

| module | name | value | what it is |
| --- | --- | --- | --- |
"""


def page() -> str:
    """The page as the code is now."""
    rows = [row for package in _PACKAGES for file in sorted((ROOT / package).rglob("*.py")) for row in _rows(file)]
    return _HEADER + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _rows(file: Path) -> Iterator[tuple[str, str, str, str]]:
    """Module, name, value and meaning of each numeric constant of a module."""
    package = file.relative_to(ROOT).parts[1]
    name = ".".join((package, *file.relative_to(ROOT).with_suffix("").parts[2:]))
    body = ast.parse(file.read_text(encoding="utf-8")).body
    for index, node in enumerate(body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if node.target.id.startswith("_") or "Final" not in ast.unparse(node.annotation):
            continue
        value = getattr(importlib.import_module(name), node.target.id)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield f"`{name}`", f"`{node.target.id}`", f"{value:.10g}", _meaning(body[index + 1 : index + 2])


def _meaning(following: list[ast.stmt]) -> str:
    """The text below a constant."""
    for node in following:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return " ".join(node.value.value.split()).replace("|", "\\|")
    return ""
