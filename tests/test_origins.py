"""Identities of content survive their way through a file, and a file that does not hold them says nothing."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bokehdata.origins import Origin, from_list, listed, picture_origin, scene_origin
from renderers.neural.training_record import metadata_of, read_record, seen_by

origins = st.frozensets(
    st.builds(scene_origin, st.integers(0, 3), st.integers(0, 40))
    | st.builds(picture_origin, st.text("0123456789abcdef", min_size=1, max_size=8))
    | st.builds(Origin, st.just("Blender scene attic"), st.integers(0, 2**32))
)


def weights(path, metadata):
    """A file of safetensors without tensors."""
    header = json.dumps({"__metadata__": metadata}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


@settings(derandomize=True, deadline=None)
@given(origins)
def test_listed_origins_read_back_through_json(some):
    document = json.loads(json.dumps(listed(some)))
    assert from_list(document) == some
    assert json.dumps(listed(frozenset(sorted(some, key=str)))) == json.dumps(listed(some))


def test_scenes_in_a_row_are_listed_as_their_ends():
    scenes = {scene_origin(1, n) for n in (*range(173), 180, 182, 183)}
    assert listed(scenes) == {"scene of seed 1": [[0, 172], [180, 180], [182, 183]]}


@pytest.mark.parametrize("document", [None, [], {"picture": 3}, {"picture": [1]}, {"scene": [[1, "x"]]}, {"s": [[1]]}])
def test_another_document_lists_no_origins(document):
    with pytest.raises(ValueError, match="does not list origins"):
        from_list(document)


def test_a_record_travels_as_one_entry_of_metadata(tmp_path):
    record = {"network": "net", "trained_on": {"picture": ["ab"]}, "validated_on": {"scene of seed 1": [[3, 4]]}}
    assert len(metadata_of(record)) == 1
    path = weights(tmp_path / "net.safetensors", metadata_of(record))
    assert read_record(path) == record
    assert seen_by(record) == {picture_origin("ab"), scene_origin(1, 3), scene_origin(1, 4)}


@pytest.mark.parametrize("content", [b"", b"\x05", b"PK\x03\x04" + bytes(60), struct.pack("<Q", 2**60) + b"{}"])
def test_a_file_of_another_format_has_no_record(tmp_path, content):
    (tmp_path / "net.pth").write_bytes(content)
    assert read_record(tmp_path / "net.pth") is None
    assert read_record(tmp_path / "nowhere.pth") is None


@pytest.mark.parametrize("text", ["arnet, step 24000", "[]", "null", "3"])
def test_weights_without_a_record_do_not_say_what_they_saw(tmp_path, text):
    path = weights(tmp_path / "net.safetensors", {"training": text})
    assert read_record(path) is None and seen_by(read_record(path)) is None
    assert seen_by({"trained_on": None, "validated_on": {}}) is None
    assert seen_by({"validated_on": {}}) is None
