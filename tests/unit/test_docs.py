"""The documentation and the code name the same things, and what the documentation points to is there."""

import ast
import re
from collections.abc import AsyncIterator, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi import FastAPI
from pydantic import AliasChoices

import daybook
import support
from daybook.api.app import create_app
from daybook.cli import commands
from daybook.lifespan import running_service
from daybook.runtime.stop import StopToken
from daybook.runtime.supervisor import Supervisor
from daybook.settings import Settings, load
from support.markdown import Code, Page

ROOT = Path(__file__).parents[2]
PACKAGE = Path(daybook.__file__).parent
SUPPORT = Path(support.__file__).parent
TESTS = SUPPORT.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/*.md"), SUPPORT / "README.md"]
TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""The pages that describe Daybook as it is."""

CAMEL = re.compile(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b")
UPPER_SNAKE = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")
COMMAND = re.compile(r"(?<![\w/.-])daybook +([a-z]+(?: +[a-z]+)?)(?![\w/.])")
OPTION = re.compile(r"(?<!\S)--?[a-z][a-z0-9-]*")
ROUTE = re.compile(r"(?:GET |POST )?(/[\w/{}.-]*)(?:\?(\S*))?")
LOCAL_URL = re.compile(r"http://127\.0\.0\.1:8000(/[\w/{}.-]*)(?:\?([^\s'\"]*))?")
IN_CONTAINER = "/app/"
FILE_PATH = re.compile(r"\.?\w[\w.-]*/[\w./-]*|[\w.-]+\.(?:py|lua|md|toml|yml)")


def place(page: Path, line: int) -> str:
    return f"{page.relative_to(ROOT)}:{line}"


def code_of(*pages: Path) -> Iterator[tuple[str, Code]]:
    """Each piece of code with its place, `README.md:12`."""
    for page in pages:
        yield from ((place(page, code.line), code) for code in Page(page).code())


def reference() -> list[Path]:
    """README.md and the pages that it links to: where a user looks things up."""
    readme = ROOT / "README.md"
    linked = {ROOT / link.path for link in Page(readme).links()}
    return [readme, *(page for page in TODAY if page in linked)]


def aliases() -> set[str]:
    choices = [field.validation_alias for field in Settings.model_fields.values()]
    return {str(name) for each in choices if isinstance(each, AliasChoices) for name in each.choices}


def names_in_code() -> set[str]:
    """The package's classes and whole strings, and what only tests have: helpers' classes, variables."""
    nodes = [node for path in PACKAGE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    classes = {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    tests = "".join(path.read_text() for path in TESTS.rglob("*.py"))
    return classes | strings | set(re.findall(r"(?<=^class )\w+|\bDAYBOOK_TEST_\w+", tests, re.MULTILINE))


def test_every_setting_is_documented() -> None:
    assert aliases()
    spans = {code.text for _, code in code_of(*reference())}
    missing = [name for name in aliases() if not UPPER_SNAKE.fullmatch(name) and name not in spans]
    assert not missing, f"missing in README.md and the pages that it links to: {sorted(missing)}"


def test_no_other_setting_is_documented() -> None:
    known = aliases() | names_in_code()
    wrong = [
        f"{where}: `{name}` is the name of no setting, class or string in the code"
        for where, code in code_of(*TODAY)
        for text in (re.findall(r"\w+(?==)", code.text) if code.in_block else [code.text])
        for name in CAMEL.findall(text) + UPPER_SNAKE.findall(text)
        if name not in known
    ]
    assert not wrong, "\n".join(wrong)


def options_by_command() -> dict[str, set[str]]:
    """Of `rejects export`, say, without `--help`, which all have."""

    def walk(command: Any, words: str) -> Iterator[tuple[str, set[str]]]:
        for name, each in getattr(command, "commands", {}).items():
            yield from walk(each, f"{words} {name}")
        if not hasattr(command, "commands") or (words and command.invoke_without_command):
            options = [each for each in command.params if each.param_type_name == "option"]
            yield words.strip(), {form for each in options for form in (*each.opts, *each.secondary_opts)}

    return dict(walk(typer.main.get_command(commands.app), ""))


def commands_by_line(*pages: Path) -> Iterator[tuple[str, set[str], set[str]]]:
    """Place, commands and options of each line that names any; the options belong to the commands beside them."""
    known = options_by_command()
    for where, line in groupby(code_of(*pages), key=lambda each: each[0]):
        named, options = set[str](), set[str]()
        for _, code in line:
            command = COMMAND.search(code.text)
            if command:
                words = command[1]
                named.add(words if words in known or words.split()[0] not in known else words.split()[0])
            if command or (code.text.startswith("-") and not code.in_block):
                options |= set(OPTION.findall(code.text, command.end() if command else 0))
        if named or options:
            yield where, named, options


def test_every_command_and_option_is_documented() -> None:
    lines = list(commands_by_line(*reference()))
    known = options_by_command()
    assert known
    missing = [f"`daybook {name}`" for name in set(known) - {name for _, named, _ in lines for name in named}]
    missing += [
        f"`{option}` on a line with `daybook {name}`"
        for name, options in known.items()
        for option in sorted(options)
        if not any(named == {name} and option in found for _, named, found in lines)
    ]
    assert not missing, f"missing in README.md and the pages that it links to: {sorted(missing)}"


def test_no_other_command_or_option_is_documented() -> None:
    known = options_by_command()
    groups = {name.split()[0]: set[str]() for name in known if " " in name}
    wrong = []
    for where, named, options in commands_by_line(*TODAY):
        wrong += [f"{where}: there is no command `daybook {name}`" for name in named - {*known, *groups}]
        allowed = set[str]().union(*((groups | known).get(name, set()) for name in named or known))
        beside = f"`daybook {', '.join(sorted(named))}`" if named else "any command"
        wrong += [f"{where}: `{each}` is no option of {beside}" for each in options - allowed - {"-h", "--help"}]
    assert not wrong, "\n".join(wrong)


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[FastAPI]:
    """The app of a service whose Redis is away."""
    settings = load(redis_host="127.0.0.1", redis_port=1, data_dir=tmp_path)
    async with running_service(settings, Supervisor(StopToken())) as services:
        yield create_app(services)


def routes_in(code: Code) -> Iterator[tuple[str, set[str]]]:
    """Paths, each with the names of its query parameters."""
    found = LOCAL_URL.findall(code.text)
    if not code.in_block and (span := ROUTE.fullmatch(code.text)):
        found.append((span[1], span[2] or ""))
    for path, query in found:
        if not path.startswith(IN_CONTAINER):
            yield path, {part.partition("=")[0] for part in query.split("&") if part}


def test_every_route_is_documented(http: FastAPI) -> None:
    paths = set(http.openapi()["paths"])
    assert paths
    missing = paths - {path for _, code in code_of(*reference()) for path, _ in routes_in(code)}
    assert not missing, f"missing in README.md and the pages that it links to: {sorted(missing)}"


def test_no_other_route_or_parameter_is_documented(http: FastAPI) -> None:
    parameters = {
        path: {each["name"] for each in methods.get("get", {}).get("parameters", ())}
        for path, methods in http.openapi()["paths"].items()
    }
    pages_of_the_app = {str(getattr(route, "path", "")): set[str]() for route in http.routes}
    wrong = []
    for where, code in code_of(*TODAY):
        for path, query in routes_in(code):
            known = [names for each, names in (pages_of_the_app | parameters).items() if same_route(each, path)]
            if not known:
                wrong.append(f"{where}: there is no route {path}")
            wrong += [f"{where}: {path} has no parameter {name}" for name in query - set[str]().union(*known) if known]
    assert not wrong, "\n".join(wrong)


def same_route(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", template), path) is not None


def test_every_link_leads_somewhere() -> None:
    wrong = []
    for page in PAGES:
        for link in Page(page).links():
            target = (page.parent / link.path).resolve() if link.path else page
            if not target.exists():
                wrong.append(f"{place(page, link.line)}: there is no {link.path}")
            elif link.anchor and link.anchor not in Page(target).anchors():
                wrong.append(f"{place(page, link.line)}: {target.relative_to(ROOT)} has no heading #{link.anchor}")
    assert not wrong, "\n".join(wrong)


def test_every_file_in_backticks_is_there() -> None:
    """A path may start from the root, from src/daybook or from tests; a bare name may be anywhere."""
    folders = ("src", "tests", "docs", "torture", "benchmarks", "requirements")
    names = {path.name for path in ROOT.iterdir()} | {
        path.name for folder in folders for path in (ROOT / folder).rglob("*")
    }
    wrong = []
    for where, code in code_of(*TODAY):
        path = code.text
        if code.in_block or not FILE_PATH.fullmatch(path):
            continue
        if "/" in path and not any((start / path).exists() for start in (ROOT, PACKAGE, TESTS)):
            wrong.append(f"{where}: `{path}` is not there, neither from the root nor from src/daybook or tests")
        elif "/" not in path and path not in names:
            wrong.append(f"{where}: `{path}` is the name of no file here")
    assert not wrong, "\n".join(wrong)


def test_every_helper_of_the_tests_is_listed() -> None:
    listed = {code.text for code in Page(SUPPORT / "README.md").code()}
    modules = {path.name for path in SUPPORT.glob("*.py")} - {"__init__.py"}
    assert not modules - listed, f"missing in tests/support/README.md: {sorted(modules - listed)}"
