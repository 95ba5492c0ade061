"""The tables of the pages say what the rows beside them say."""

from pathlib import Path

import pytest

from docs import tables

ROOT = Path(__file__).parents[1]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


@pytest.mark.parametrize("name", tables.TABLES)
def test_every_line_of_a_table_is_on_its_page(name):
    """In its place. What follows in a line is by hand, such as figures of papers."""
    table = tables.TABLES[name]
    page = [cells(line) for line in (ROOT / table.page).read_text().splitlines() if line.startswith("|")]
    title, _ = map(cells, table.head())
    begin = next(i for i, line in enumerate(page) if line[: len(title)] == title)
    for i, line in enumerate(map(cells, table.lines()), begin + 2):
        assert page[i][: len(line)] == line


@pytest.mark.parametrize("name", [name for name, table in tables.TABLES.items() if table.is_ordered])
def test_the_order_of_methods_is_on_the_page(name):
    table = tables.TABLES[name]
    assert table.order() in " ".join((ROOT / table.page).read_text().split())


def test_a_table_is_printed_and_one_that_is_not_there_is_named(capsys):
    assert tables.main(["readme"]) == 0
    head, _, title, rule, best, *_ = capsys.readouterr().out.splitlines()
    assert head == "readme, of README.md:" and rule == "|---|---|---:|---:|---:|---:|"
    assert cells(title)[:3] == ["given", "renderer", "PSNR"] and cells(best)[:2] == ["the scene", "`oracle-layers`"]
    assert tables.main(["nothing"]) == 2
    assert "nothing is no table; there are readme, drbokeh" in capsys.readouterr().err
