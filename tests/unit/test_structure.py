"""What the parts of the package may know of each other (design, section 6)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import daybook

PACKAGE = Path(daybook.__file__).parent
MAY_IMPORT = {
    "domain": set[str](),
    "runtime": set[str](),
    "sources": {"domain"},
    "stores": {"domain"},
    "embedded": {"stores"},
    "importing": {"domain", "sources", "stores", "runtime"},
    "lane": {"domain", "sources", "stores", "runtime"},
    "books": {"domain", "sources", "stores"},
    "api": {"domain", "stores", "books", "runtime"},
}
"""The floors, lowest first; `lifespan.py`, `serve.py` and `cli/` stand above them all."""
EVERYBODY = {"errors", "clock", "memory", "failpoints", "__version__"}
COLUMN_DOORS = {"cells", "sure_rows"}
"""The modules of `sources/columns/` that others use."""
HTTP = {"fastapi", "starlette", "pydantic", "uvicorn"}
CLIENTS = {"redis": {"stores", "embedded"}, "pymongo": {"stores"}, "bson": {"stores"}, "sqlite3": {"stores"}}
KEY_PREFIXES = ("agg:", "count:", "daybook:")


def modules() -> Iterator[tuple[str, Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).parts[0], path, ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_imports_go_one_way() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for folder, path, tree in modules()
        if folder in MAY_IMPORT
        for name in imported(tree)
        if name.startswith("daybook.") and name.split(".")[1] not in {folder} | MAY_IMPORT[folder] | EVERYBODY
    ]
    assert wrong == []


def test_every_allowed_import_is_used() -> None:
    used: dict[str, set[str]] = {folder: set() for folder in MAY_IMPORT}
    for folder, _, tree in modules():
        if folder in MAY_IMPORT:
            used[folder] |= {name.split(".")[1] for name in imported(tree) if name.startswith("daybook.")}
    unused = {folder: allowed - used[folder] for folder, allowed in MAY_IMPORT.items() if allowed - used[folder]}
    assert unused == {}


def test_the_columns_are_used_through_their_doors() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for _, path, tree in modules()
        if path.parent.name != "columns"
        for name in imported(tree)
        if name.startswith("daybook.sources.columns.") and name.split(".")[3] not in COLUMN_DOORS
    ]
    assert wrong == []


def test_the_books_know_no_http() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for folder, path, tree in modules()
        if folder not in {"api", "serve.py", "settings.py"}
        for name in imported(tree)
        if name.split(".")[0] in HTTP
    ]
    assert wrong == []


def test_only_the_stores_talk_to_databases() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for folder, path, tree in modules()
        for name in imported(tree)
        if folder not in CLIENTS.get(name.split(".")[0], {folder})
    ]
    assert wrong == []


def test_only_one_module_spells_a_key() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} spells {node.value!r}"
        for _, path, tree in modules()
        if path.name != "redis_keys.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        and node.value.startswith(KEY_PREFIXES) and " " not in node.value
    ]  # fmt: skip
    assert wrong == []
