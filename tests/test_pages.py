"""What the pages point to is there, and the checks are the same wherever they are listed."""

import re
from pathlib import Path

import pytest
import yaml

from bokehforge.cli import COMMANDS
from runtime import command

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("renderers/neural/*/*.md")]


def links(page: Path) -> list[str]:
    """Where a page points to, outside its blocks of code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page: Path) -> set[str]:
    """Those that GitHub gives to headings: lower case, no punctuation, hyphens for blanks."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    for link in links(page):
        if "://" not in link:
            file, _, anchor = link.partition("#")
            target = page.parent / file if file else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_every_page_is_pointed_to():
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page)}
    assert [page.name for page in ROOT.glob("docs/*.md") if page not in linked] == []


def test_the_checks_before_a_commit_are_those_of_ci():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    checks = [hook["entry"] for hook in hooks]
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    first = ci.index(checks[0])
    assert ci[first : first + len(checks) + 1] == [*checks, "pytest"]
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert " && ".join(checks) in contributing


def test_the_page_of_exit_codes_has_every_code_and_command():
    page = (ROOT / "docs" / "exit-codes.md").read_text()
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)]
    assert codes == [command.DONE, command.FAILED, command.BAD_INPUT, command.INTERRUPTED, command.TERMINATED]
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(COMMANDS)


def test_ci_runs_both_lines_of_the_set_up():
    ci = (ROOT / ".ci" / "run").read_text()
    readme = (ROOT / "README.md").read_text()
    set_up = re.findall(r"^    pip install (.*) && (\S+)", readme, re.MULTILINE)
    assert [extra for extra, _ in set_up] == ["-c constraints.txt -e .", '-c constraints.txt -e ".[dev]"']
    for arguments, program in set_up:
        assert f"\npip install -q {arguments}\n" in ci and f"\n{program}" in ci
