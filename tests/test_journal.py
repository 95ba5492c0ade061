"""The journal of rows: what a kill, a full disk and another run leave of it."""

import json

import pytest

from runtime.documents import DocumentError
from runtime.journal import Journal

HEADER = {"schema": 1, "size": [64, 48]}


@pytest.fixture
def path(tmp_path):
    """A journal with two rows."""
    path = tmp_path / "results" / "rows.jsonl"
    with Journal(path, HEADER) as journal:
        journal.append("first", {"image": "a"})
        journal.append("second", {"image": "b"})
    return path


def test_a_line_that_was_cut_off_is_made_again(path):
    path.write_bytes(path.read_bytes()[:-5])
    with Journal(path, HEADER) as journal:
        assert "first" in journal and "second" not in journal and journal.get("second") is None
        # Shorter than what was left of the line.
        journal.append("2", {})
    header, *rows = map(json.loads, path.read_text().splitlines())
    assert header == HEADER
    assert rows == [{"key": "first", "image": "a"}, {"key": "2"}]


def test_a_file_that_ends_within_its_header_is_begun_again(path):
    path.write_bytes(path.read_bytes()[:7])
    with Journal(path, HEADER) as journal:
        assert not list(journal.rows())
    assert json.loads(path.read_text()) == HEADER


def test_the_newest_row_of_a_key_counts_and_comes_last(path):
    with Journal(path, HEADER) as journal:
        journal.append("first", {"image": "new"})
    with Journal(path, HEADER) as journal:
        assert list(journal.rows()) == [{"image": "b"}, {"image": "new"}]
        assert journal["first"] == {"image": "new"}


def test_rows_of_other_settings_are_refused_by_name_and_kept(path):
    before = path.read_bytes()
    with pytest.raises(DocumentError, match="rows of other size, gamma; choose another --out"):
        Journal(path, {"schema": 1, "size": [64, 64], "gamma": 2.2})
    assert path.read_bytes() == before


@pytest.mark.parametrize("line", ["[]", "{}", "3", '{"key": 3}', '{"key": "k", "image": 4}', "nonsense", "[" * 5000])
def test_what_is_no_row_is_refused(path, line):
    path.write_text(json.dumps(HEADER) + "\n" + line + "\n")
    with pytest.raises(DocumentError, match="rows.jsonl: is not a file of such rows"):
        Journal(path, HEADER, is_row=lambda row: isinstance(row["image"], str))


@pytest.mark.parametrize("head", ["[]", "3", "nonsense"])
def test_what_begins_otherwise_is_refused(path, head):
    path.write_text(head + "\n")
    with pytest.raises(DocumentError, match="choose another --out"):
        Journal(path, HEADER)
