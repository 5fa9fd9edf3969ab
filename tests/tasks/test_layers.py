import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SQL = re.compile(r"\b(SELECT\s.+\sFROM|INSERT\s+(OR \w+\s+)?INTO|DELETE\s+FROM|UPDATE\s.+\sSET)\b", re.DOTALL)
FILES = sorted(
    path.relative_to(ROOT) for room in ("tasks", "flows", "deployments") for path in (ROOT / room).rglob("*.py")
)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_what_orchestrates_holds_no_sql(file: Path):
    """Whoever changes a table finds its queries in the room that it belongs to, and nowhere else."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    calls = [
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    assert not [f"line {text.lineno}: {text.value}" for text in texts if SQL.search(text.value)]
    assert not {"execute", "executemany", "sql", "query", "insert"} & set(calls)
