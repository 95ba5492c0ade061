"""Documents that people write: whatever is in the file, its values or one line that names it."""

import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bokehdata.format import DatasetError
from bokehdata.reader import Dataset
from evaluation.results import ResultsError, read_results
from runtime.documents import DocumentError, read_json, read_yaml, shown
from scenes.recipe import RecipeError, load_recipe

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)

ODD_YAML = {
    "billion laughs": LAUGHS,
    "holds itself": "a: &a [*a]\n",
    "5000 digits": "a: " + "9" * 5000 + "\n",
    "no number": "a: !!int abc\n",
    "an unknown tag": "a: !!python/object/apply:os.system [ls]\n",
    "binary": "a: !!binary aGVsbG8=\n",
    "a set": "a: !!set {x, y}\n",
    "a date": "a: !!timestamp 2026-13-41\n",
    "deep": "[" * 5000,
    "a key that is a list": "? [a, b]\n: 1\n",
    "a key that is a number": "1: 2\n",
    "a list": "[1, 2]\n",
    "nothing": "",
    "control characters": "a: \x00\x01\n",
    "half a mapping": "a: {b: ",
}

ODD_JSON = {
    "deep": "[" * 100_000,
    "5000 digits": '{"a": ' + "9" * 5000 + "}",
    "a list": "[1]",
    "nothing": "",
    "half": '{"a": ',
}


@pytest.mark.parametrize("text", ODD_YAML.values(), ids=ODD_YAML)
def test_odd_yaml_is_one_short_line_that_names_the_file(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    begin = time.process_time()
    with pytest.raises(DocumentError) as error:
        read_yaml(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < 600
    assert time.process_time() - begin < 5.0


@pytest.mark.parametrize("text", ODD_JSON.values(), ids=ODD_JSON)
def test_odd_json_is_one_short_line_that_names_the_file(tmp_path, text):
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(DocumentError) as error:
        read_json(path)
    assert str(error.value).startswith(f"{path}: ") and len(str(error.value)) < 600


def test_bytes_that_are_no_text_and_folders_are_named(tmp_path):
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff\xfe")
    for name in ("bytes.yaml", "absent.yaml", ""):
        with pytest.raises(DocumentError, match=str(tmp_path)):
            read_yaml(tmp_path / name)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    for name in ("fifo.yaml", "zero.yaml"):
        with pytest.raises(DocumentError, match=rf"{name}: cannot be read \(is a FIFO, a socket or a device"):
            read_yaml(tmp_path / name)
    (tmp_path / "giant.yaml").write_text("a: 1\n")
    os.truncate(tmp_path / "giant.yaml", 2**40)
    with pytest.raises(DocumentError, match="is larger than 256 MiB"):
        read_yaml(tmp_path / "giant.yaml")


def test_values_come_as_they_are_and_dates_as_text(tmp_path):
    path = tmp_path / "plain.yaml"
    path.write_text("a: [1, 2.5, null, true]\nb: {c: x}\nd: 2026-01-02\ne: &e [1]\nf: *e\n")
    assert read_yaml(path) == {"a": [1, 2.5, None, True], "b": {"c": "x"}, "d": "2026-01-02", "e": [1], "f": [1]}


def test_what_is_long_is_shown_by_its_beginning():
    assert shown(4.5) == "4.5" and shown("word") == "'word'"
    assert len(shown("x" * 10_000)) < 100 and len(shown([[["x" * 1000] * 1000] * 1000] * 1000)) < 1000


@pytest.mark.parametrize("text", ODD_YAML.values(), ids=ODD_YAML)
def test_an_odd_recipe_is_refused_by_name(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match="odd.yaml"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    "value", ["2026-01-02", "[[[[]]]]", "{a: {b: c}}", "!!float .nan", "'" + "x" * 5000 + "'", "~"]
)
@pytest.mark.parametrize("key", ["size", "noise", "apertures", "camera", "gammas", "focus"])
def test_a_value_of_another_kind_is_refused_by_key(tmp_path, key, value):
    path = tmp_path / "odd.yaml"
    path.write_text(f"{key}: {value}\n")
    try:
        load_recipe(str(path))
    except RecipeError as error:
        assert "recipe " in str(error) and "odd" in str(error) and len(str(error)) < 600


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet="{}[]:-&*!|>'\"#, \n\tab01.", max_size=60).map(str.encode))
def test_any_bytes_are_refused_or_read(tmp_path_factory, data):
    """Of every document that the program reads: one of its own errors, and no other."""
    folder = tmp_path_factory.mktemp("any")
    for name in ("dataset.yaml", "index.jsonl", "results.json", "odd.yaml"):
        (folder / name).write_bytes(data)
    for read, refusal in (
        (lambda: load_recipe(str(folder / "odd.yaml")), RecipeError),
        (lambda: list(Dataset(folder)), DatasetError),
        (lambda: read_results(folder), ResultsError),
    ):
        try:
            read()
        except refusal as error:
            assert str(folder) in str(error)
