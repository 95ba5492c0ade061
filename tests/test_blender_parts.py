"""The parts of `blender_scripts` that do not need Blender: lens settings, stacks, layer bounds, kept pictures."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from blender_scripts.camera import Camera, blender_lens
from blender_scripts.cost import (
    cost_text,
    cpu_seconds,
    duration_text,
    light_field_cost_text,
    light_field_cpu_seconds,
    share_in_time,
)
from blender_scripts.extent import disparity_extent
from blender_scripts.focus import FocusRule
from blender_scripts.job import MadeBy, RenderJob, Sampling
from blender_scripts.process import BlenderCrash, BlenderProcess
from blender_scripts.production import KeptPictures, kept_pictures, produce_scene, stack_of
from blender_scripts.refusal import Refusal
from blender_scripts.render_blb import main
from blender_scripts.slices import FirstHits, closed, slice_distances
from bokehdata.kinds.camera import DepthLayer
from scenes.aperture import Disk, Donut, Polygon
from scenes.color import HALF_MAX
from scenes.lens import ThinLens

CAMERA = Camera(focal_length_m=0.05, sensor_width_m=0.036, width=1920)


def _job(**changes) -> RenderJob:
    fields = dict(
        root=None, width=64, height=36, blur_radii_px=(10.0, 20.0), focus_count=4, aperture=Disk(),
        sampling=Sampling(8), device="cpu", layers=0, seed=0,
    )  # fmt: skip
    return RenderJob(**{**fields, **changes})


def test_lens_settings_are_those_of_a_known_camera():
    # f 50 mm, f/2.8, 36 mm sensor, 1920 px: K = f^2 W / (2 N w) = 23.8095 px m.
    lens = blender_lens(ThinLens(0.05**2 * 1920 / (2 * 2.8 * 0.036), 0.25), CAMERA)
    assert lens == {"f_number": pytest.approx(2.8), "focus_distance": 4.0, "blades": 0, "rotation_rad": 0.0}
    assert CAMERA.blur_parameter(CAMERA.f_number(17.0)) == pytest.approx(17.0)


def test_pinhole_has_no_depth_of_field_and_infinity_is_the_format_s():
    assert blender_lens(ThinLens(0.0, 0.25), CAMERA) is None
    lens = blender_lens(ThinLens(5.0, 0.0), CAMERA)
    assert lens is not None and lens["focus_distance"] == HALF_MAX


def test_blades_turn_the_other_way_in_blender():
    lens = blender_lens(ThinLens(5.0, 0.25, Polygon(5, rotation_deg=20.0)), CAMERA)
    assert lens is not None
    assert (lens["blades"], lens["rotation_rad"]) == (5, pytest.approx(math.radians(36.0 - 20.0)))


def test_blades_turn_within_the_half_turn_that_blender_clamps_to():
    lens = blender_lens(ThinLens(5.0, 0.25, Polygon(3, rotation_deg=-130.0)), CAMERA)
    # 60 + 130 degrees are equivalent to -170.
    assert lens is not None and lens["rotation_rad"] == pytest.approx(math.radians(-170.0))


@pytest.mark.parametrize("aperture", [Donut(0.4), Polygon(6, curvature=0.5)])
def test_apertures_that_blender_lacks_are_refused_by_name(aperture):
    with pytest.raises(Refusal, match=aperture.describe()["shape"]):
        blender_lens(ThinLens(5.0, 0.25, aperture), CAMERA)


def test_stack_spans_the_scene_from_far_to_near():
    disparity = np.array([[0.0, 0.1], [0.35, 0.5]], np.float32)
    stack = stack_of(disparity, _job())
    assert stack.pixel == "box"
    assert stack.focus_disparities == pytest.approx((0.0, 0.5 / 3, 1.0 / 3, 0.5))
    # With focus at one end of the range, the blur radius of a level is largest at the other end.
    assert [k * 0.5 for k in stack.blur_parameters] == pytest.approx([10.0, 20.0])


def test_a_background_beyond_the_focus_has_the_largest_radius():
    """The surfaces end at 0.2 in 1/m, the background is at 0: focused on the nearest, it is blurred most."""
    disparity = np.array([[0.0, 0.2], [0.35, 0.5]], np.float32)
    stack = stack_of(disparity, _job(focus=FocusRule("surfaces")))
    assert stack.focus_disparities == pytest.approx((0.2, 0.3, 0.4, 0.5))
    assert [k * 0.5 for k in stack.blur_parameters] == pytest.approx([10.0, 20.0])
    # What is taken for a sky is a surface with a depth, and no focus either.
    stack = stack_of(disparity, _job(focus=FocusRule("surfaces")), disparity > 0.3)
    assert stack.focus_disparities[0] == pytest.approx(0.35)
    for mask in (disparity > 0.4, disparity > 1.0):
        with pytest.raises(Refusal, match="all surfaces that the camera sees are at one distance; --blb-focus"):
            stack_of(disparity, _job(focus=FocusRule("surfaces")), mask)


def test_named_focus_distances_need_no_depth_but_a_surface():
    wall = np.full((4, 4), 0.25, np.float32)
    stack = stack_of(wall, _job(focus=FocusRule("distances", (2.0, HALF_MAX))))
    assert stack.focus_disparities == (0.0, 0.5)
    assert stack.blur_parameters == pytest.approx((10.0 / 0.25, 20.0 / 0.25))
    with pytest.raises(Refusal, match="everything the camera sees is at the focus"):
        stack_of(wall, _job(focus=FocusRule("distances", (4.0,))))
    with pytest.raises(Refusal, match="nothing but the background"):
        stack_of(0.0 * wall, _job(focus=FocusRule("distances", (2.0,))))


def test_runs_of_built_in_scenes_go_on_where_earlier_versions_ended():
    assert not {"focus", "focus_m"} & _job().describe().keys()
    assert _job(focus=FocusRule("range", (2.0, 4.0))).describe() == {
        **_job().describe(), "focus": "range", "focus_m": [2.0, 4.0],
    }  # fmt: skip


@pytest.mark.parametrize("value, message", [(0.0, "nothing but the background"), (0.25, "at one distance")])
def test_scene_without_depth_is_refused(value, message):
    with pytest.raises(Refusal, match=message):
        stack_of(np.full((4, 4), value, np.float32), _job())


def test_isolated_pixels_set_neither_focus_nor_blur():
    disparity = np.tile(np.linspace(0.1, 0.5, 160, dtype=np.float32), (100, 1))
    clean = stack_of(disparity, _job())
    disparity[50, 80], disparity[10, 10], disparity[20, 20] = 40.0, 25.0, 0.0
    dusty = stack_of(disparity, _job())
    # 16000 pixels: 3 at each end are ignored, and the columns are 0.0025 apart.
    assert dusty.focus_disparities == pytest.approx(clean.focus_disparities, abs=1e-6)
    assert dusty.blur_parameters == pytest.approx(clean.blur_parameters, rel=1e-6)
    # An object of ten times as many pixels is not ignored.
    disparity[40:46, 60:66] = 2.0
    assert stack_of(disparity, _job()).focus_disparities[-1] == 2.0


def test_small_picture_keeps_the_extremes_of_all_its_pixels():
    disparity = np.linspace(0.1, 0.5, 64 * 36, dtype=np.float32).reshape(36, 64)
    assert disparity_extent(disparity) == pytest.approx((0.1, 0.5))


def test_cost_is_that_of_the_benchmark():
    # benchmarks/README.md: on two cores, 1920 x 1080 at 64 samples takes 7 minutes.
    job = replace(_job(), width=1920, height=1080, sampling=Sampling(64))
    assert 6.0 * 60 < cpu_seconds(job, 1, cores=2) < 8.0 * 60
    assert cpu_seconds(job, 30, cores=2) == pytest.approx(30 * cpu_seconds(job, 1, cores=2))
    assert cpu_seconds(job, 1, cores=8) == pytest.approx(cpu_seconds(job, 1, cores=2) / 4)
    assert cpu_seconds(replace(job, sampling=Sampling(64, time_limit_s=5.0)), 3, cores=2) == 15.0
    assert "at most about" in cost_text(replace(job, sampling=Sampling(64, noise_threshold=0.1)), 3, "cpu")
    assert "about" not in cost_text(job, 3, "optix: a GPU")


def test_a_denoiser_costs_more_than_the_one_sample_of_a_view():
    job = _job(width=320, height=180, blur_radii_px=(3.0, 6.0), sampling=Sampling(90, stack="light-field"))
    denoised = replace(job, sampling=replace(job.sampling, denoise=True))
    # A view of the still life takes 2.9 s of a core instead of 1.04, at 508 x 298 px.
    assert 700 < light_field_cpu_seconds(denoised, 5, cores=1) < 1100
    assert light_field_cpu_seconds(denoised, 5, cores=1) > 2 * light_field_cpu_seconds(job, 5, cores=1)


def test_light_field_costs_its_views_and_not_its_pictures():
    # The still life: 1 s of a core for a view of 480 x 270 (overscan on top), and a sharp view for every second one.
    sampling = Sampling(1000, stack="light-field")
    job = replace(_job(), width=480, height=270, blur_radii_px=(5.0, 10.0), sampling=sampling)
    assert 1400.0 < light_field_cpu_seconds(job, 1, cores=1) < 1700.0
    more = replace(job, focus_count=50)
    assert light_field_cpu_seconds(more, 2, cores=1) == 2 * light_field_cpu_seconds(job, 1, cores=1)
    limited = replace(job, sampling=replace(sampling, time_limit_s=60.0))
    assert light_field_cpu_seconds(limited, 3, cores=2) == 180.0
    noisy = replace(job, sampling=Sampling(None, stack="light-field", noise=0.01))
    assert "at least about" in light_field_cost_text(noisy, 3, "cpu")
    short = replace(noisy, sampling=replace(noisy.sampling, time_limit_s=60.0))
    assert "at most about 3 minutes" in light_field_cost_text(short, 3, "cpu")
    assert share_in_time(noisy) == 1.0 and 0.0 < share_in_time(short, 1) < 0.5
    assert "about" not in light_field_cost_text(noisy, 3, "optix: a GPU")


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0.1, "1 second"),
        (100.0, "100 seconds"),
        (400.0, "6.7 minutes"),
        (6000.0, "100 minutes"),
        (8000.0, "2.2 hours"),
        (3.25e6, "38 days"),
    ],
)
def test_times_are_told_in_units_for_people(seconds, text):
    assert duration_text(seconds) == text


def test_cost_is_told_before_anything_is_rendered(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert main(["--dry-run", "--stack", "direct", "--out", str(tmp_path / "set")]) == 0
    told = capsys.readouterr().out
    assert "510 pictures of 1920 x 1080 at 1024 samples: about 38 days on 2 CPU cores" in told
    assert main(["--dry-run", "--out", str(tmp_path / "set")]) == 0
    told = capsys.readouterr().out
    assert "10 light fields of 11999 views for 51 pictures of 1920 x 1080: about 14 days on 2 CPU cores" in told
    assert "takes 2.5 GB of memory" in told
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--preset", "blb-mini"], "10 scenes of 50 images, 480 x 270 px, noise 0.004"),
        (["--preset", "blb"], "10 scenes of 50 images, 1920 x 1080 px, noise 0.004"),
        (["--preset", "blb-mini", "--first-scene", "4"], "6 scenes of 50 images, 480 x 270 px, noise 0.004"),
        (
            ["--preset", "blb-mini", "--scenes", "2", "--noise", "0.01"],
            "2 scenes of 50 images, 480 x 270 px, noise 0.01",
        ),
        # Views asked for take the place of the preset's noise.
        (["--preset", "blb-mini", "--samples", "500"], "480 x 270 px, 500 views"),
        (["--stack", "direct", "--samples", "64"], "1920 x 1080 px, 64 samples"),
    ],
)
def test_preset_sets_what_is_not_given(arguments, told, tmp_path, capsys):
    assert main([*arguments, "--dry-run", "--out", str(tmp_path / "set")]) == 0
    assert told in capsys.readouterr().out


def test_direct_stacks_go_on_where_earlier_versions_ended():
    # dataset.yaml and the kept pictures of a direct run name nothing that came later.
    assert Sampling(8).describe() == {"samples": 8, "noise_threshold": None, "time_limit_s": 0.0, "denoised": False}
    assert Sampling(8, stack="light-field").describe() == {
        "stack": "light-field", "samples": 8, "noise": None, "time_limit_s": 0.0, "denoised": False,
    }  # fmt: skip


def test_runs_without_views_go_on_where_earlier_versions_ended():
    assert not {"keep_views", "view_samples"} & _job().describe().keys()
    assert _job(keep_views=5).describe() == {**_job().describe(), "keep_views": 5, "view_samples": 16}


@pytest.mark.parametrize("words", [["--stack", "direct"], ["--samples", "4096"]])
def test_a_preset_s_end_of_a_light_field_is_not_that_of_other_pictures(words, tmp_path, capsys):
    """Neither the noise nor the time limit of `blb-mini`: 4096 views take longer than that on a core."""
    assert main(["--preset", "blb-mini", *words, "--dry-run", "--out", str(tmp_path / "set")]) == 0
    told = capsys.readouterr().out
    assert "510 pictures" in told if "direct" in words else "at most" not in told and "4096 views" in told


def test_kept_views_are_told_and_counted_before_anything_is_rendered(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    arguments = ["--preset", "blb-mini", "--keep-views", "25", "--dry-run", "--out", str(tmp_path / "set")]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    # 625 views of 508 x 298: 4.5 bytes a pixel of the picture, 2 of its depth.
    assert "25 x 25 views with depth take about 615.0 MB of a scene" in told and "about 6.5 GB" in told
    assert (
        "for 51 pictures of 480 x 270, and 25 x 25 views of 16 samples: at least about 20 hours on 2 CPU cores" in told
    )


def test_a_disk_that_is_too_small_for_the_views_is_told(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("blender_scripts.render_blb.require_space", lambda root, needed: asked.append(needed))
    monkeypatch.setattr("blender_scripts.production.BlenderProcess", _NoScenes)
    small = ["--width", "64", "--height", "48", "--radius-step", "2", "--scenes", "2", "--samples", "200"]
    for views in ("0", "5"):
        assert main([*small, "--keep-views", views, "--out", str(tmp_path / views)]) == 2
    # Two scenes and the views of one that are kept while it is rendered; 64 + 2 x 7 by 48 + 2 x 7 pixels.
    assert asked[1] - asked[0] == pytest.approx(3 * 25 * 78 * 62 * 6.5, rel=1e-3)


class _NoScenes(BlenderProcess):
    """A Blender that refuses every scene."""

    def __init__(self, executable):
        pass

    def __exit__(self, *exception):
        pass

    def ask(self, request):
        if request["do"] == "check":
            return {"blender": "5.0.1", "device": "cpu"}
        raise Refusal("no scene")


def test_layers_are_cut_where_nothing_is():
    # Two walls at 2 m and 5 m and a sky. A cut between their disparities severs no surface.
    depth = np.full((30, 40), HALF_MAX, np.float32)
    depth[:, :20], depth[:15, 20:] = 2.0, 5.0
    distances = slice_distances(depth, 3)
    assert distances == sorted(distances) and len(distances) == 4
    assert distances[0] == pytest.approx(1.0) and distances[-1] == HALF_MAX
    near_to_far = [((depth > a) & (depth <= b)).sum() for a, b in zip(distances[:-1], distances[1:], strict=True)]
    assert near_to_far == [600, 300, 300]


def test_kept_picture_counts_once_its_numbers_are_there(tmp_path):
    kept = KeptPictures(tmp_path / "kept", {"scene": 1})
    kept.add("a.exr", np.full((3, 4, 3), 0.5, np.float32), 0.01, 8)
    kept.path("b.exr").write_bytes(b"torn")
    again = KeptPictures(tmp_path / "kept", {"scene": 1})
    assert "a.exr" in again and "b.exr" not in again
    picture = again.picture("a.exr")
    assert (picture.noise_rmse, picture.samples) == (0.01, 8) and (picture.linear == 0.5).all()
    assert "a.exr" not in KeptPictures(tmp_path / "kept", {"scene": 2})


@pytest.mark.parametrize("stack", ["direct", "light-field"])
def test_what_the_blender_of_a_killed_process_still_writes_is_not_read(stack, tmp_path, monkeypatch):
    written = []

    def ask(request):
        if request["do"] == "load":
            lens = {"focal_length_m": 0.05, "sensor_width_m": 0.036}
            return {**lens, "blender": "", "device": "", "skies": [], "warnings": []}
        written.append(request["exr"])
        raise BlenderCrash

    job = _job(root=tmp_path, sampling=Sampling(8, stack=stack))
    for process in (1, 2):
        monkeypatch.setattr(os, "getpid", lambda: process)  # noqa: B023
        with pytest.raises(BlenderCrash):
            produce_scene(job, SimpleNamespace(ask=ask), 0, {}, {"name": ""})
    first, second = written
    assert first != second


def test_only_kept_pictures_of_the_same_options_shorten_the_work(tmp_path):
    job, source, made_by = replace(_job(), root=tmp_path), {"name": "still_life"}, MadeBy("5.0.1", "cpu")
    identity = {**job.describe(), "source": source, "blender": "5.0.1", "device": "cpu"}
    KeptPictures(tmp_path / ".rendered-000003", identity).add("a.exr", np.zeros((3, 4, 3), np.float32), 0.01, 8)
    assert kept_pictures(job, 3, source, made_by) == 1
    assert kept_pictures(replace(job, seed=1), 3, source, made_by) == 0
    assert kept_pictures(job, 3, source, MadeBy("5.1.0", "cpu")) == 0
    assert kept_pictures(job, 4, source, made_by) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"width": 65},
        {"height": 37},
        {"blur_radii_px": (20.0, 10.0)},
        {"focus_count": 5},
        {"aperture": Polygon(5)},
        {"sampling": Sampling(16)},
        {"sampling": Sampling(8, noise_threshold=0.1)},
        {"sampling": Sampling(8, time_limit_s=5.0)},
        {"sampling": Sampling(8, denoise=True)},
        {"sampling": Sampling(8, stack="light-field")},
        {"sampling": Sampling(None, stack="light-field", noise=0.1)},
        {"layers": 3},
        {"keep_views": 5},
        {"focus": FocusRule("surfaces")},
    ],
    ids=str,
)
def test_kept_picture_is_thrown_away_when_an_option_that_made_it_changes(tmp_path, change):
    kept = KeptPictures(tmp_path / "kept", _job().describe())
    kept.add("a.exr", np.full((3, 4, 3), 0.5, np.float32), 0.01, 8)
    assert "a.exr" in KeptPictures(tmp_path / "kept", _job().describe())
    assert "a.exr" not in KeptPictures(tmp_path / "kept", _job(**change).describe())


@pytest.mark.parametrize(
    "arguments, culprit",
    [
        (["--scenes", "-3"], "--scenes"),
        (["--scenes", "3", "--first-scene", "3"], "--first-scene is 3; it must lie between 0 and 2"),
        (["--samples", "7"], "--samples"),
        (["--width", "4"], "--width"),
        (["--blades", "2"], "--blades"),
        (["--blades", "2", "--samples", "100"], "--blades is 2"),
        (["--noise-threshold", "0"], "--noise-threshold"),
        (["--noise-threshold", "0.1"], "needs --stack direct"),
        (["--noise", "0.01", "--samples", "100"], "--samples is 100 and --noise is 0.01"),
        (["--noise", "0.01", "--stack", "direct"], "needs --stack light-field"),
        (["--noise", "1.5"], "--noise is 1.5"),
        (["--samples", "20000"], "it must lie between 27 and 16384"),
        (["--samples", "7", "--stack", "direct"], "it must be even"),
        (["--radius-step", "0"], "--radius-step"),
        (["--keep-views", "5", "--stack", "direct"], "--keep-views is 5; it needs --stack light-field"),
        (["--keep-views", "4"], "--keep-views is 4; it must be 0 for none, or odd and 3 to 99"),
        (["--keep-views", "101"], "--keep-views is 101"),
        (["--keep-views", "5", "--view-samples", "5"], "--view-samples is 5; it must be even"),
        (["--blend", "absent.blend"], "absent.blend"),
        (["--list"], "--list is for --blend FILE"),
        (["--camera", "front"], "--camera is front; it is for --blend FILE"),
        (["--camera-at", "0", "0", "1", "--look-at", "0", "1", "1"], "it is for --blend FILE"),
        (["--focus-range", "4", "2"], "--focus-range is 4 2; the nearest distance comes first"),
        (["--focus-range", "0", "2"], "--focus-range has 0.0; distances must be above 0"),
        (["--focus-distances", "1", "nan"], "--focus-distances has nan"),
        (["--focus-distances", "1", "1"], "--focus-distances has a distance twice"),
        (["--focus-distances", "1", "2", "--focus-count", "3"], "--focus-count is 3 and --focus-distances has 2"),
        (["--focus-range", "1", "2", "--blb-focus"], "--focus-range and --blb-focus: give one of them"),
        (["--blender", "/absent/blender"], "/absent/blender"),
    ],
)
def test_bad_options_are_named_in_one_line(arguments, culprit, tmp_path, capsys):
    assert main([*arguments, "--out", str(tmp_path / "set")]) == 2
    error = capsys.readouterr().err
    assert culprit in error and error.count("\n") == 1


def test_blender_stays_out_of_our_process():
    # Blender is GPL, takes half a second to load, and may crash.
    code = "import sys, blender_scripts.render_blb; sys.exit('bpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_only_the_inside_of_what_is_in_front_is_closed():
    # Texels: a solid that goes on; a hill behind a hill of one mesh; the back of another thing; a rim; nothing.
    near = DepthLayer(np.full((1, 5, 4), 0.5, np.float16), np.full((1, 5), 1.0, np.float32), 0.5, 2.0)
    near.rgba[0, :, 3] = [1.0, 1.0, 1.0, 0.4, 1.0]
    far = DepthLayer(np.full((1, 5, 4), 0.25, np.float16), np.full((1, 5), 0.2, np.float32), 2.0, HALF_MAX)
    first = FirstHits(np.float32([[1, 1, 1, 1, 1]]), np.zeros((1, 5), bool))
    beyond = FirstHits(np.float32([[1, 1, 2, 1, 0]]), np.array([[True, False, True, True, False]]))
    kept, closed_far = closed([near, far], [first, beyond])
    np.testing.assert_array_equal(kept.rgba, near.rgba)
    np.testing.assert_array_equal(closed_far.disparity, np.float32([[0.5, 0.2, 0.2, 0.2, 0.2]]))
    np.testing.assert_array_equal(closed_far.rgba[0, :, 0], np.float16([0.5, 0.25, 0.25, 0.25, 0.25]))
    np.testing.assert_array_equal(closed_far.rgba[0, :, 3], np.float16([1.0, 0.25, 0.25, 0.25, 0.25]))
