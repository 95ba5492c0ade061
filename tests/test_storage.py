"""Datasets in object stores: the bytes of a folder, whatever fails and whenever a run is killed; no secrets told."""

import errno
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from bokehdata import stored, stored_writer
from bokehdata.format import BokehSetting, DatasetError, bokeh_settings
from bokehdata.index import FileRecord, IndexEntry, read_index
from bokehdata.kinds.billboards import write_billboards
from bokehdata.opening import open_cases
from bokehdata.reader import Dataset
from bokehdata.stored import StoredIndex, write_shard
from bokehdata.stored_writer import dataset_writer
from bokehdata.verify import verify
from bokehdata.writer import SceneWriter
from raytrace import reference
from runtime import command, copies, storage
from runtime.copies import Wanted, copied, local_folder
from runtime.storage import Place, StorageError, Url, masked, place, publish
from scenes.aperture import aperture_points
from scenes.billboard import Billboard, Scene
from scenes.lens import ThinLens
from scenes.stack import Stack

SCENES = 3
STACK = Stack((0.0, 3.0), (0.1,), (2.2,))
HEADER = {"recipe": "tiny", "seed": 11}

TINY = "scenes: 4\nsize_px: 48\nforegrounds: [1, 2]\nblur_parameters: [3]\nfocus_count: 2\nnoise: 0.02\n"
SCRIPT = (sys.executable, str(Path(__file__).parents[1] / "raytrace" / "gen.py"))
COMMAND = (sys.executable, "-m", "bokehforge")


@cache
def drawn(scene_index: int) -> tuple[Scene, dict[BokehSetting, np.ndarray]]:
    """A scene of two layers, and its pictures."""
    rng = np.random.default_rng([11, scene_index])
    near, far = (rng.random((28, 32, 4)) for _ in range(2))
    near[..., 3], far[..., 3] = near[..., 3] > 0.5, 1.0
    scene = Scene((Billboard(near.astype(np.float16), 0.7), Billboard(far.astype(np.float16), 0.1)), 22, 18, 5)
    pictures = {}
    for setting in bokeh_settings(STACK):
        lens = ThinLens(STACK.blur_parameters[setting.blur_index], STACK.focus_disparities[setting.focus_index])
        points = aperture_points(STACK.aperture, 16) if lens.blur_parameter else np.zeros((1, 2))
        pictures[setting] = reference.render(scene, lens, points, gamma=2.2).astype(np.float32)
    return scene, pictures


def make(root: Place, scene_index: int) -> IndexEntry:
    scene, pictures = drawn(scene_index)
    with SceneWriter(root, scene_index) as writer:
        write_billboards(writer, scene, STACK, seed=11, noise=0.1)
        writer.write_image(pictures[BokehSetting(0, 0, 2.2)])
        for setting, linear in pictures.items():
            writer.write_bokeh(setting, linear, noise_rmse=0.05, samples=16)
        writer.write_preview(cv2.imencode(".jpg", np.full((16, 16, 3), 90, np.uint8))[1].tobytes())
    return writer.entry


def fill(root: Place, scenes: int = SCENES, *, recheck: bool = False) -> int:
    """What a generator does: make the scenes that are not finished. Returns how many."""
    made = 0
    with dataset_writer(root, HEADER, recheck=recheck) as dataset:
        finished = dataset.finished(range(scenes))
        for scene_index in range(scenes):
            if scene_index not in finished:
                dataset.add(make(root, scene_index))
                made += 1
    return made


def contents(root: Place) -> dict[str, str]:
    """Checksum of every file by its path; the lines of the index under the name that they have in a folder."""
    if isinstance(root, Path):
        files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    else:
        files = {name: (root / name).read() for name in root.tree()}
        lines = [files.pop(name) for name in sorted(files) if name.startswith("index/")]
        files["index.jsonl"] = b"".join(lines)
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def found(root: Place) -> list[str]:
    return [str(problem) for problem in verify(root).problems]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The dataset on disk."""
    root = tmp_path_factory.mktemp("folder") / "tiny"
    fill(root)
    return root


@pytest.fixture(scope="module")
def quiet(folder) -> dict[str, str]:
    """What a run without faults gives."""
    return contents(folder)


@pytest.fixture(autouse=True)
def own_caches(tmp_path, monkeypatch):
    """Copies and what is made to be sent are kept in the test's own folder; nobody waits long for a store."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(storage, "_FIRST_WAIT_S", 1e-4)
    monkeypatch.setattr(copies, "_unseen_bytes", 0)


@pytest.fixture
def memory() -> Iterator[Url]:
    """Where a dataset may be in the memory of this process."""
    yield Url("memory://bucket/tiny")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


class Killed(BaseException):
    """The process ends here."""


class FaultyStore(MemoryFileSystem):
    """A store that fails, is slow to list, and whose processes are killed.

    fails_every    so many calls, in turn before and after the call is done; 0 for never
    killed_at      this call, and every later one
    lag            listings are so many calls old
    """

    protocol = "faulty"
    store: dict[str, Any] = {}
    pseudo_dirs = [""]
    cachable = False

    fails_every, killed_at, lag = 0, 0, 0
    calls: list[str] = []
    is_called = False
    past: list[dict[str, int]] = [{}]

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("faulty://", "memory://"))

    @classmethod
    def begin(cls, *, fails_every: int = 0, killed_at: int = 0, lag: int = 0) -> None:
        """Other faults from now on; what is stored stays."""
        cls.fails_every, cls.killed_at, cls.lag = fails_every, killed_at, lag
        cls.calls.clear()

    @classmethod
    def empty(cls) -> None:
        cls.store.clear()
        cls.past[:] = [{}]
        cls.begin()

    def _called(self, name: str, call):
        if self.is_called:  # by another call
            return call()
        self.calls.append(name)
        number = len(self.calls)
        if self.killed_at and number >= self.killed_at:
            raise Killed
        is_faulty = self.fails_every and number % self.fails_every == 0
        if is_faulty and number // self.fails_every % 2:
            raise OSError(errno.EIO, "slow down")
        FaultyStore.is_called = True
        try:
            result = call()
        finally:
            FaultyStore.is_called = False
        self.past.append({name: len(file.getvalue()) for name, file in self.store.items()})
        if is_faulty:
            raise TimeoutError("no answer")
        return result

    def cat_file(self, path, start=None, end=None, **kwargs):
        return self._called("read", lambda: MemoryFileSystem.cat_file(self, path, start, end))

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        return self._called("write", lambda: MemoryFileSystem.pipe_file(self, path, value))

    def rm(self, path, recursive=False, maxdepth=None):
        def remove() -> None:
            for name in path:
                self.store.pop(name, None)

        return self._called("remove", remove)

    def info(self, path, **kwargs):
        return self._called("look", lambda: MemoryFileSystem.info(self, path))

    def find(self, path, maxdepth=None, withdirs=False, detail=False, **kwargs):
        return self._called("list", lambda: {n: {"size": s} for n, s in self._seen().items() if f"{path}/" in n})

    def ls(self, path, detail=True, **kwargs):
        inside = f"{path.rstrip('/')}/"
        names = (name for name in self._seen() if name.startswith(inside))
        return self._called("list", lambda: sorted({inside + n.removeprefix(inside).split("/")[0] for n in names}))

    def _seen(self) -> dict[str, int]:
        return self.past[max(len(self.past) - 1 - self.lag, 0)]


@pytest.fixture
def faulty(monkeypatch) -> Iterator[Url]:
    # One call after the other, so that it is the same calls that fail in every run.
    monkeypatch.setattr(storage, "_AT_A_TIME", 1)
    monkeypatch.setattr(copies, "_AT_A_TIME", 1)
    fsspec.register_implementation("faulty", FaultyStore, clobber=True)
    FaultyStore.empty()
    yield Url("faulty://bucket/tiny")
    FaultyStore.empty()


# The bytes of a folder


def test_a_dataset_in_a_store_has_the_bytes_of_one_in_a_folder(memory, quiet, tmp_path):
    assert fill(memory) == SCENES
    assert contents(memory) == quiet
    assert found(memory) == []
    # Nothing is left of what was made to be sent.
    assert [path for path in (tmp_path / "temporary").rglob("*") if path.is_file()] == []


def test_the_same_command_adds_what_is_missing(memory, quiet, monkeypatch):
    fill(memory, 2)
    assert (memory / "index").names() == ["000000-000001.jsonl"]
    assert fill(memory) == 1
    assert fill(memory) == 0
    assert contents(memory) == quiet


def test_a_folder_is_not_touched_by_the_options_of_stores(tmp_path, quiet):
    fill(tmp_path / "tiny", recheck=True)
    assert contents(tmp_path / "tiny") == quiet


def test_another_recipe_and_what_is_no_dataset_are_refused(memory):
    fill(memory, 1)
    with pytest.raises(DatasetError, match="recipe 'tiny', this run has 'other'"):
        dataset_writer(memory, {**HEADER, "recipe": "other"})
    with pytest.raises(DatasetError, match="memory://bucket: holds tiny and is not a dataset"):
        dataset_writer(Url("memory://bucket"), HEADER)


# Faults


@pytest.mark.parametrize("fails_every, lag", [(2, 0), (3, 0), (0, 9), (5, 4), (0, 40)])
def test_a_store_that_fails_and_lists_late_ends_with_the_same_bytes(faulty, quiet, fails_every, lag):
    """Each run may see less than there is: it does work again, and no harm."""
    FaultyStore.begin(fails_every=fails_every, lag=lag)
    fill(faulty, 2)
    fill(faulty)
    fill(faulty)
    FaultyStore.begin()
    assert contents(faulty).keys() == quiet.keys()
    assert {n: s for n, s in contents(faulty).items() if "/" in n} == {n: s for n, s in quiet.items() if "/" in n}
    assert list(Dataset(faulty).entries()) == [f"{i:06d}" for i in range(SCENES)]
    assert found(faulty) == []


def calls_of_a_run(url: Url) -> int:
    FaultyStore.begin()
    fill(url)
    number = len(FaultyStore.calls)
    FaultyStore.empty()
    return number


def test_a_run_killed_at_any_call_shows_whole_scenes_only_and_goes_on_to_the_same_bytes(faulty, quiet):
    for killed_at in range(1, calls_of_a_run(faulty) + 1, 7):
        FaultyStore.empty()
        FaultyStore.begin(killed_at=killed_at)
        with pytest.raises(Killed):
            fill(faulty)
        FaultyStore.begin()
        there = contents(faulty)
        # A scene exists once its info.json does, and is in the index then at the earliest.
        whole = {name.split("/")[0] for name in there if name.endswith("/info.json")}
        for scene in whole:
            of_scene = {n: sha256 for n, sha256 in quiet.items() if n.startswith(scene)}
            assert of_scene.items() <= there.items(), f"killed at call {killed_at}"
        assert {f"{i:06d}" for i in StoredIndex(faulty)} <= whole
        assert fill(faulty) >= SCENES - len(whole)
        assert contents(faulty) == quiet, f"killed at call {killed_at}"


@pytest.mark.parametrize("lag", [0, 10**6])
def test_a_scene_that_is_sent_again_is_not_there_meanwhile(faulty, tmp_path, lag):
    fill(faulty)
    scene = tmp_path / "scene"
    (scene / "layers").mkdir(parents=True)
    for name in ("info.json", "image.exr", "layers/00.exr"):
        (scene / name).write_text(f"new {name}")
    before = dict(FaultyStore.store)
    # What a listing does not show is not removed.
    for killed_at in range(1, 7 if lag else 8):
        FaultyStore.store.update(before)
        FaultyStore.begin(killed_at=killed_at, lag=lag)
        with pytest.raises(Killed):
            publish(scene, faulty / "000000", last="info.json")
        FaultyStore.begin()
        there = {name: (faulty / "000000" / name).read() for name in (faulty / "000000").tree()}
        if "info.json" in there:  # it is all old, since the last call writes the new one
            assert there == {name: before[f"/bucket/tiny/000000/{name}"].getvalue() for name in there}
            assert len(there) == sum("/000000/" in name for name in before)


def test_a_store_that_stays_away_ends_in_one_line_and_the_same_command_goes_on(faulty, quiet, capsys):
    fill(faulty, 1)
    FaultyStore.begin(fails_every=1)
    with pytest.raises(OSError) as raised:
        fill(faulty)
    assert raised.value.filename.startswith("faulty://bucket/tiny")
    assert "after 6 tries" in str(raised.value.strerror)
    assert len(FaultyStore.calls) == 6
    FaultyStore.begin()
    fill(faulty)
    assert contents(faulty) == quiet


def test_waiting_doubles_and_long_waits_are_said(faulty, monkeypatch, capsys):
    waits = []
    monkeypatch.setattr(storage, "_FIRST_WAIT_S", 0.5)
    monkeypatch.setattr(time, "sleep", waits.append)
    faulty.write(b"")
    FaultyStore.begin(fails_every=1)
    with pytest.raises(StorageError):
        faulty.read()
    assert len(waits) == 5 and 10.0 < sum(waits) < 20.0
    assert all(later > earlier for earlier, later in zip(waits, waits[1:], strict=False))
    assert capsys.readouterr().err.count("trying again") == 3


def test_a_store_that_does_not_answer_has_not_said_no(faulty):
    """A dataset whose header cannot be looked for is not taken for an empty folder."""
    fill(faulty, 1)
    assert (faulty / "dataset.yaml").is_file() and not (faulty / "other.yaml").is_file()
    FaultyStore.begin(fails_every=1)
    with pytest.raises(StorageError, match="cannot be looked for"):
        (faulty / "dataset.yaml").is_file()


def test_what_trying_again_cannot_change_is_not_tried_again(faulty, monkeypatch):
    def refused(*arguments: object) -> None:
        FaultyStore.calls.append("read")
        raise PermissionError("Access Denied")

    monkeypatch.setattr(FaultyStore, "cat_file", refused)
    with pytest.raises(StorageError, match="cannot be read .Access Denied."):
        (faulty / "dataset.yaml").read()
    assert len(FaultyStore.calls) == 1


def test_a_full_disk_under_what_is_made_costs_that_scene_alone(memory, quiet, full_disk):
    fill(memory, 1)
    with full_disk(1000), pytest.raises(DatasetError, match="cannot be written .*File too large"):
        fill(memory)
    assert (memory / "000001").tree() == {}
    fill(memory)
    assert contents(memory) == quiet


@pytest.mark.parametrize(
    "damage, problem",
    [
        (lambda url: url.write(url.read()[:-1] + b"\0"), "does not have the checksum in the index"),
        (lambda url: url.write(url.read()[:-1]), "bytes, the index says"),
        (lambda url: url.remove(), "is missing"),
    ],
)
def test_a_damaged_object_is_named_and_made_again(memory, quiet, damage, problem):
    fill(memory)
    damage(memory / "000001" / "bokeh_01_00.exr")
    (problem_found,) = found(memory)
    assert problem_found.startswith("000001/bokeh_01_00.exr: ") and problem in problem_found
    # By its index alone, the dataset is finished.
    assert fill(memory) == 0
    assert fill(memory, recheck=True) == 1
    assert contents(memory) == quiet
    assert (memory / "index").names() == ["000000-000002.jsonl"]


def test_what_does_not_belong_is_named(memory):
    fill(memory)
    (memory / "000002" / "more.exr").write(b"")
    (memory / "000007" / "scene.yaml").write(b"")
    assert found(memory) == [
        "000007: is not in the index; run the generator again to finish it",
        "000002/more.exr: is not in the index",
    ]
    fill(memory, recheck=True)
    assert found(memory) == ["000007: is not in the index; run the generator again to finish it"]


def test_a_kill_while_damaged_scenes_are_made_again_forgets_none(faulty, quiet):
    """Until it is made again, a damaged scene is in no part of the index."""
    fill(faulty)
    for killed_at in range(2, 60, 9):
        FaultyStore.begin()
        (faulty / "000001" / "depth.exr").write(b"damage")
        FaultyStore.begin(killed_at=killed_at)
        try:
            fill(faulty, recheck=True)
        except Killed:
            FaultyStore.begin()
            # A kill before it was found leaves it to the next check.
            if fill(faulty) == 0:
                fill(faulty, recheck=True)
        FaultyStore.begin()
        assert contents(faulty) == quiet, f"killed at call {killed_at}"


# The index


def entry_of(scene_index: int) -> IndexEntry:
    return IndexEntry(f"{scene_index:06d}", {"info.json": FileRecord("0" * 64, 1)}, 1, 0.001)


def test_a_listing_of_the_index_tells_which_scenes_are_finished(faulty):
    for first, last in ((0, 999), (1000, 1999), (2000, 2009), (2020, 2020)):
        write_shard(faulty, [entry_of(i) for i in range(first, last + 1)])
    FaultyStore.begin()
    finished = StoredIndex(faulty)
    assert FaultyStore.calls == ["list"]
    assert list(finished) == [*range(2010), 2020]
    assert [finished[i] for i in (0, 1999, 2009, 2010, -1)] == [0, 1999, 2009, 2020, 2020]
    with pytest.raises(IndexError):
        finished[2011]
    # A line is read with its neighbours, once.
    assert [finished.entry(i).scene_index for i in (1500, 1501, 1999)] == [1500, 1501, 1999]
    assert FaultyStore.calls == ["list", "read"]
    assert [entry.scene_index for entry in finished.entries()] == list(finished)


def test_the_lines_of_a_range_become_one_object_when_it_is_finished(memory, monkeypatch):
    monkeypatch.setattr(stored, "RANGE_SCENES", 4)
    monkeypatch.setattr(stored_writer, "RANGE_SCENES", 4)
    names = []
    with dataset_writer(memory, HEADER) as dataset:
        for scene_index in (1, 0, 4, 3, 2, 9, 8):
            entry = entry_of(scene_index)
            write_shard(memory, [entry])
            dataset.add(entry)
            names.append(len((memory / "index").names()))
    assert names == [1, 2, 3, 4, 2, 3, 4]
    assert (memory / "index").names() == ["000000-000003.jsonl", "000004-000004.jsonl", "000008-000009.jsonl"]
    with dataset_writer(memory, HEADER) as dataset:
        assert dataset.finished(range(20)) == {0, 1, 2, 3, 4, 8, 9}


def test_objects_that_name_a_scene_twice_count_it_once(memory):
    """A run that is killed leaves what it was gathering."""
    write_shard(memory, [entry_of(i) for i in range(6)])
    for i in (0, 3, 5):
        write_shard(memory, [entry_of(i)])
    write_shard(memory, [entry_of(i) for i in range(4, 9)])
    assert list(StoredIndex(memory)) == list(range(9))
    assert [entry.scene_index for entry in StoredIndex(memory).entries()] == list(range(9))


def test_a_reader_follows_lines_that_have_moved(memory):
    write_shard(memory, [entry_of(0)])
    finished = StoredIndex(memory)
    write_shard(memory, [entry_of(i) for i in range(3)])
    (memory / "index" / "000000-000000.jsonl").remove()
    assert finished.entry(0) == entry_of(0)


def test_a_broken_part_of_the_index_is_named(memory):
    fill(memory)
    (memory / "index" / "000000-000002.jsonl").write(entry_of(0).to_line().encode())
    with pytest.raises(DatasetError, match="memory://bucket/tiny/index/000000-000002.jsonl: is no part of an index"):
        Dataset(memory)[0]


# Reading


def test_scenes_are_read_from_a_store_as_from_a_folder(faulty, folder):
    fill(faulty)
    here, there = Dataset(folder), Dataset(faulty)
    assert [scene.name for scene in there] == [scene.name for scene in here]
    for a, b in zip(here, there, strict=True):
        assert type(a) is type(b) and a.info == b.info and a.origins == b.origins
        assert a.stored_settings() == b.stored_settings()
    cases = list(zip(open_cases(folder), open_cases(faulty), strict=True))
    assert all(a.name == b.name and a.digest() == b.digest() for a, b in cases)
    assert np.array_equal(cases[-1][0].truth(), cases[-1][1].truth())
    # What is copied is not read again.
    FaultyStore.begin()
    assert np.array_equal(here[1].image(), there[1].image())
    assert FaultyStore.calls == []


def test_nobody_reads_other_bytes_than_the_index_says(memory, tmp_path):
    fill(memory)
    url = memory / "000001" / "disparity.exr"
    url.write(url.read()[:-1] + b"\0")
    scene = Dataset(memory)[1]
    with pytest.raises(DatasetError, match="000001/disparity.exr: does not have the checksum in the index"):
        scene.image()
    assert list((tmp_path / "cache" / "bokehforge" / "copies").iterdir()) == []


def test_copies_stay_below_their_bound(memory, tmp_path, monkeypatch):
    monkeypatch.setenv(copies.LIMIT_VARIABLE, "0.000005")
    monkeypatch.setattr(copies, "_IN_USE_S", 0.0)
    kept = tmp_path / "cache" / "bokehforge" / "copies"
    for i in range(8):
        url = memory / f"{i}"
        (url / "file").write(bytes([i]) * 1000)
        copied(url, {"file": Wanted(1000)})
        os.utime(next(path for path in kept.iterdir() if (path / f"{i}").is_dir()), (i, i))
        # The first is used again and again.
        os.utime(copied(memory / "0", {"file": Wanted(1000)}).parent)
    names = {path.name for folder in kept.iterdir() for path in folder.iterdir()}
    assert names == {"0", "4", "5", "6", "7"}
    with pytest.raises(OSError, match="set BOKEHFORGE_CACHE_GB"):
        copied(memory, {"file": Wanted(6000)})


def test_a_full_disk_under_copies_is_named(memory, tmp_path, full_disk):
    fill(memory)
    scene = Dataset(memory)[0]
    with full_disk(100), pytest.raises(DatasetError, match="copy cannot be written to .*File too large.; fix that"):
        scene.image()
    assert list((tmp_path / "cache" / "bokehforge" / "copies").iterdir()) == []
    assert scene.image().shape == (18, 22, 3)


def test_what_killed_processes_left_goes_after_a_day(memory, tmp_path):
    made = tmp_path / "temporary" / f"bokehforge-{os.getuid()}" / "made"
    for name, age_s in ((".000007.99", 100_000), (".000008.99", 1_000)):
        (made / name).mkdir(parents=True)
        os.utime(made / name, (time.time() - age_s,) * 2)
    made.parent.chmod(0o700)
    fill(memory, 1)
    assert [path.name for path in made.iterdir()] == [".000008.99"]


def test_what_is_not_ours_is_copied_to_be_read(memory, folder, tmp_path):
    """Here a folder in the layout of BLB, and one of photographs."""
    for name in ("image.exr", "depth.exr", "info.json", "bokeh_01_00.exr"):
        (memory / "blb" / "1" / name).write((folder / "000000" / name).read_bytes())
    (here,) = open_cases(memory / "blb")
    assert np.array_equal(here.image(), open_cases(folder)[1].image())
    assert local_folder(memory / "blb").name == "blb"
    (memory / "blb" / "1" / "image.exr").write((folder / "000001" / "image.exr").read_bytes())
    assert not np.array_equal(open_cases(memory / "blb")[0].image(), here.image())
    with pytest.raises(DatasetError, match="memory://bucket/tiny/none: no such folder"):
        open_cases(memory / "none")


# Names and secrets


def test_paths_are_paths_and_urls_are_urls():
    assert place("datasets/a:b") == Path("datasets/a:b")
    assert place("file:///data/x") == Path("/data/x")
    assert place("s3://bucket/x/") == Url("s3://bucket/x")
    assert str(Url("s3://bucket") / "x" / "y") == "s3://bucket/x/y"


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIAEXAMPLE:hush-hush@bucket/x",
        "https://host/x?X-Amz-Signature=hush-hush",
        "sftp://ann:hush-hush@host/x",
        "gs://bucket/x?token=hush-hush",
    ],
)
def test_secrets_are_refused_and_never_repeated(text, capsys):
    with pytest.raises(StorageError) as raised:
        Url(text)
    assert command.start("bokehforge.verify", [text], "verify") == command.BAD_INPUT
    said = f"{raised.value} {capsys.readouterr().err}"
    assert "has a password or a key in it" in said and "hush" not in said and "AKIA" not in said


def test_names_of_users_and_secrets_of_the_environment_are_masked(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    assert str(Url("sftp://ann@host/x")) == "sftp://***@host/x"
    assert masked("no entry for wJalrXUtnFEMI") == "no entry for ***"


def test_no_file_of_a_dataset_says_where_it_is(memory):
    fill(memory)
    assert not any(b"bucket" in (memory / name).read() for name in memory.tree())


def test_options_that_take_paths_refuse_urls(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as raised:
        command.start("bokehforge.export", ["x", "--to", "blb", "--out", "s3://bucket/x"], "export")
    assert raised.value.code == command.BAD_INPUT
    assert "takes a path on disk" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "temporary"] or not (tmp_path / "s3:").exists()


def in_a_new_interpreter(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_plain_paths_need_no_fsspec(folder):
    code = f"import sys\nfrom bokehdata.reader import Dataset\nDataset({str(folder)!r})[0].image()\n"
    assert in_a_new_interpreter(f"{code}print('fsspec' in sys.modules)") == "False"


@pytest.mark.parametrize("absent, needs", [("fsspec", "fsspec"), ("s3fs", "s3fs")])
def test_a_missing_package_is_named_with_the_extra_that_brings_it(absent, needs):
    code = (
        f"import sys\nsys.modules[{absent!r}] = None\nfrom runtime.storage import Url\n"
        "try: Url('s3://bucket/x').read()\nexcept OSError as error: print(error.filename, error.strerror)"
    )
    assert in_a_new_interpreter(code).startswith(f"s3://bucket/x needs {needs}, which is not installed; pip install")
    assert "'.[cloud]'" in in_a_new_interpreter(code)


# S3


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """A server of S3 on loopback, as the environment names it to clients; it has the bucket "bucket"."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "hush-hush-testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None and time.monotonic() < deadline, "moto's server does not start"
            time.sleep(0.1)
        fsspec.filesystem("s3").mkdir("bucket")
        yield environment
    finally:
        storage._filesystem.cache_clear()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        server.kill()
        server.wait()


def test_a_server_of_s3_holds_the_same_bytes(s3, quiet, folder):
    url = Url("s3://bucket/tiny")
    fill(url)
    assert contents(url) == quiet
    assert (url / "index").names() == ["000000-000002.jsonl"]
    assert np.array_equal(Dataset(url)[2].image(), Dataset(folder)[2].image())
    damaged = url / "000001" / "image.exr"
    damaged.write(damaged.read()[:-1] + b"\0")
    assert found(url) == ["000001/image.exr: does not have the checksum in the index"]
    assert fill(url, recheck=True) == 1 and contents(url) == quiet
    with pytest.raises(OSError) as raised:
        fill(Url("s3://nowhere/tiny"))
    assert (
        "bucket does not exist" in raised.value.strerror and raised.value.filename == "s3://nowhere/tiny/dataset.yaml"
    )


def run(*arguments, cwd: Path, program=SCRIPT) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*program, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert "hush-hush" not in done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_the_commands_take_urls_and_a_killed_run_goes_on(s3, tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    assert run("--recipe", "tiny.yaml", "--workers", 1, "--out", "here", cwd=tmp_path).returncode == 0
    url = "s3://bucket/made"
    options = ("--recipe", "tiny.yaml", "--workers", "2", "--out", url)
    process = subprocess.Popen([*SCRIPT, *options], cwd=tmp_path, start_new_session=True)
    while not (place(url) / "index").names():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(StoredIndex(Url(url))) < 4
    done = run(*options, cwd=tmp_path)
    assert done.returncode == 0 and "scenes are finished already" in done.stdout, done.stderr
    assert contents(Url(url)) == contents(tmp_path / "here")

    def said(*arguments, code: int = 0) -> str:
        done = run(*arguments, cwd=tmp_path, program=COMMAND)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    assert f"{url}: 4 scenes, no problems" in said("verify", url)
    said("view", url, "--side", 48)
    said("view", "here", "--side", 48)
    assert (tmp_path / "made.html").stat().st_size == (tmp_path / "here.html").stat().st_size
    for data in (url, "here"):
        said("benchmark", "--data", data, "--renderers", "identity", "--out", f"results-{Path(data).name}")
        said("export", data, "--to", "webdataset", "--out", f"shards-{Path(data).name}")
    assert contents(tmp_path / "shards-made") == contents(tmp_path / "shards-here")
    said("train", "--model", "arnet", "--data", url, "--preset", "smoke", "--out", "run", "--workers", 1)
    said("export", url, "--to", "blb", "--out", "blb")
    said("import", "blb", "--out", "s3://bucket/imported")
    assert "no problems" in said("verify", "s3://bucket/imported")
    shutil.copytree(tmp_path / "blb", tmp_path / "copy")
    assert "4 scenes are in" in said("import", "blb", "--out", "imported")
    assert contents(Url("s3://bucket/imported")) == contents(tmp_path / "imported")
    out = run("--recipe", "tiny.yaml", "--out", "s3://nowhere/x", cwd=tmp_path)
    assert out.returncode == 2 and "Traceback" not in out.stderr and "bucket does not exist" in out.stderr


def test_the_index_of_a_folder_is_the_lines_of_a_store(memory, folder):
    fill(memory)
    assert Dataset(memory).entries() == read_index(folder)[0]
