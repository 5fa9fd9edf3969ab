"""The docstrings under the fields of a class: the help of its settings.

They are read from its source when they are asked for. Pydantic reads those of every class as it is defined, which is a sixth of
the time in which a command starts.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise


def docstrings(cls: type) -> dict[str, str]:
    """Field -> the docstring under it, or under the field of that name in the nearest class above that has one."""
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        if node := _classes(one.__module__).get(one.__qualname__):
            found |= dict(_under_fields(node))
    return found


def _under_fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(node.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)
            case _:
                pass


@cache
def _classes(module: str) -> Mapping[str, ast.ClassDef]:
    """The classes of a module by their qualified names; none where there is no source."""
    try:
        source = inspect.getsource(sys.modules[module])
    except (KeyError, OSError, TypeError):
        return {}
    return dict(_within(ast.parse(source), ""))


def _within(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.ClassDef]]:
    for child in ast.iter_child_nodes(node):
        inner = prefix
        if isinstance(child, ast.ClassDef):
            yield prefix + child.name, child
            inner = f"{prefix}{child.name}."
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = f"{prefix}{child.name}.<locals>."
        yield from _within(child, inner)
