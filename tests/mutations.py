"""Deliberate faults, each of which some test must see.

    python tests/mutations.py                         every fault
    python tests/mutations.py sterefo-near-to-far     some, by name
    python tests/mutations.py --draw 10               as many, drawn by the commit

The tree is copied. The tests that are named by the faults must pass on the copy; then each fault in turn is put there,
and its tests must fail. `pytest -m mutation` does the same, a test a fault.

To add a fault, write a line below. Its tests should take seconds: the first that fails ends them.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Of the tests of one fault, and of all of them before: machines may be busy.
_SECONDS_MAX = 1800

# Exit codes of pytest.
_PASSED, _FAILED = 0, 1


@dataclass(frozen=True)
class Fault:
    """A fault of one line.

    file          in the repository
    text          what is replaced; it occurs once
    replacement   what is put there
    tests         files or ids of pytest, one of which must fail; separated by blanks
    """

    name: str
    file: str
    text: str
    replacement: str
    tests: str


class MutationError(RuntimeError):
    """A fault that cannot be put in place, or tests that neither pass nor fail."""


@dataclass(frozen=True)
class Copy:
    """A copy of the tree that faults are put into, with caches of compiled code of its own."""

    folder: Path
    caches: Path

    def require_passing(self, faults: Iterable[Fault]) -> None:
        """MutationError where the tests of some faults fail without them."""
        tests = dict.fromkeys(test for fault in faults for test in fault.tests.split())
        code, output = self._run(list(tests), self.caches / "whole")
        if code != _PASSED:
            raise MutationError(f"tests fail without a fault:\n{output}")

    def catches(self, fault: Fault) -> bool:
        """Whether a test of the fault fails with it. MutationError where they end otherwise."""
        path = self.folder / fault.file
        whole = path.read_bytes()
        # numba compiles the functions of a changed file anew, and no compiled function calls one of another file.
        caches = self.caches / "faulty"
        shutil.rmtree(caches, ignore_errors=True)
        if (self.caches / "whole").is_dir():
            shutil.copytree(self.caches / "whole", caches)
        times = path.stat()
        path.write_text(faulty(whole.decode(), fault))
        try:
            code, output = self._run(fault.tests.split(), caches)
        finally:
            path.write_bytes(whole)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        if code not in (_PASSED, _FAILED):
            raise MutationError(f"{fault.name}: its tests end with code {code}:\n{output}")
        return code == _FAILED

    def _run(self, tests: list[str], caches: Path) -> tuple[int, str]:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(self.folder / part) for part in (".", "datasets")),
            # A file that is changed twice within a second would be read from its bytecode.
            "PYTHONDONTWRITEBYTECODE": "1",
            "NUMBA_CACHE_DIR": str(caches / "numba"),
            "TI_OFFLINE_CACHE_FILE_PATH": str(caches / "taichi"),
        }
        words = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-n",
            "0",
            "-p",
            "no:cacheprovider",
            "-m",
            "not mutation",
            *tests,
        ]
        try:
            done = subprocess.run(
                words, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=_SECONDS_MAX
            )
        except subprocess.TimeoutExpired as error:
            raise MutationError(f"tests do not end in {_SECONDS_MAX} s: {' '.join(tests)}") from error
        return done.returncode, (done.stdout + done.stderr)[-4000:]


def faulty(content: str, fault: Fault) -> str:
    """A file with the fault; MutationError where its text is not there once."""
    if (found := content.count(fault.text)) != 1:
        raise MutationError(f"{fault.name}: {fault.file} holds {fault.text!r} {found} times; it must be there once")
    return content.replace(fault.text, fault.replacement)


@contextmanager
def copied() -> Iterator[Copy]:
    """A copy of what git tracks and of new files that it does not ignore, for a while."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    with tempfile.TemporaryDirectory(prefix="mutations-") as temporary:
        copy = Copy(Path(temporary) / "tree", Path(temporary) / "caches")
        for name in listed:
            if (ROOT / name).is_file():
                (copy.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy.folder / name)
        yield copy


def drawn(count: int) -> list[Fault]:
    """Some of the faults: the same for the same commit."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return random.Random(commit).sample(FAULTS, min(count, len(FAULTS)))


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Put deliberate faults into a copy of the tree; its tests must fail.")
    parser.add_argument("names", nargs="*", help="faults; all of them where none is named")
    parser.add_argument("--draw", type=int, metavar="N", help="N faults, drawn by the commit")
    arguments = parser.parse_args(words)
    known = {fault.name: fault for fault in FAULTS}
    if unknown := [name for name in arguments.names if name not in known]:
        parser.error(f"there is no fault {', '.join(unknown)}")
    faults = [known[name] for name in arguments.names] or FAULTS
    if arguments.draw is not None:
        faults = drawn(arguments.draw)
    survivors = []
    try:
        with copied() as copy:
            copy.require_passing(faults)
            for fault in faults:
                begin = time.monotonic()
                caught = copy.catches(fault)
                survivors += [] if caught else [fault.name]
                verdict = "caught" if caught else "SURVIVED"
                print(f"{verdict:9}{fault.name} ({time.monotonic() - begin:.0f} s)", flush=True)
    except MutationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"caught {len(faults) - len(survivors)} of {len(faults)}")
    return 1 if survivors else 0


FAULTS = [
    # Lens and aperture
    Fault(
        "the-frame-of-a-real-lens-narrows-as-it-focuses-near",
        "scenes/mounted_lens.py",
        "self.sensor_width_m / nearer",
        "self.sensor_width_m",
        "tests/test_mounted_lens.py",
    ),
    Fault(
        "smaller-blur-through-the-open-lens",
        "scenes/mounted_lens.py",
        "surface.semi_diameter * share",
        "surface.semi_diameter",
        "tests/test_mounted_lens.py",
    ),
    Fault(
        "the-oracle-looks-through-a-thin-lens",
        "renderers/classical/oracle.py",
        "lens.real if isinstance(lens, Paraxial) and lens.real is not None else lens",
        "lens",
        "tests/test_real_lens_scenes.py",
    ),
    Fault(
        "overscan-of-real-lenses-is-that-of-thin-ones",
        "scenes/sampling.py",
        "overscan_of(recipe) if not mounts else _overscan_behind",
        "overscan_of(recipe) if mounts else _overscan_behind",
        "tests/test_real_lens_scenes.py",
    ),
    Fault(
        "the-thin-twin-of-a-recipe-looks-through-real-lenses",
        "scenes/sampling.py",
        "if recipe.lens is not None and recipe.lens.thin:",
        "if recipe.lens is None:",
        "tests/test_real_lens_scenes.py::test_the_thin_twin_of_a_recipe_has_the_same_scenes_and_blur",
    ),
    Fault(
        "rings-and-rims-of-an-aperture-not-in-its-points",
        "scenes/aperture.py",
        "(inner + u * (outer - inner)) * within[-1], within, at",
        "inner + u * (outer - inner), at, at",
        "tests/test_aperture.py",
    ),
    Fault(
        "the-second-stop-on-the-other-side",
        "scenes/aperture.py",
        "points + self.cat_eye * field",
        "points - self.cat_eye * field",
        "tests/test_aperture.py",
    ),
    Fault(
        "pixels-darker-by-the-rays-that-a-second-stop-takes",
        "raytrace/kernels.py",
        "num_samples if moved_per_px == 0.0 else ti.max(colour[3], 1.0)",
        "num_samples",
        "tests/test_tracer.py",
    ),
    Fault(
        "the-second-stop-as-seen-from-the-source",
        "renderers/splatting/outline.py",
        "defocus_px / np.maximum(1.0 - per_px * defocus_px, 0.1)",
        "defocus_px",
        "tests/test_cat_eye.py",
    ),
    Fault(
        "the-brightness-of-a-pixel-at-its-centre",
        "renderers/splatting/outline.py",
        "np.minimum((rho + 0.5) / radius_px, 1.0)",
        "np.minimum((rho + 0.001) / radius_px, 1.0)",
        "tests/test_layers_over.py",
    ),
    Fault(
        "cells-of-a-part-as-if-it-were-the-frame",
        "renderers/splatting/kernels.py",
        "(np.arange(n) + first) // cell_px",
        "np.arange(n) // cell_px",
        "tests/test_cat_eye.py",
    ),
    Fault(
        "defocus-of-the-other-sign",
        "scenes/lens.py",
        "return blur_parameter * (disparity - focus_disparity)\n",
        "return blur_parameter * (focus_disparity - disparity)\n",
        "tests/test_lens.py",
    ),
    Fault(
        "slanted-plane-met-on-the-other-side",
        "scenes/lens.py",
        "(1.0 - blur_parameter * slope_along_lens)",
        "(1.0 + blur_parameter * slope_along_lens)",
        "tests/test_lens.py",
    ),
    Fault(
        "blur-diameter-for-radius",
        "scenes/lens.py",
        "width_px / (2.0 * sensor_width_m)\n",
        "width_px / sensor_width_m\n",
        "tests/test_lens.py",
    ),
    Fault(
        "no-focus-breathing",
        "scenes/lens.py",
        "focal_length_m / (1.0 - focal_length_m * focus_disparity)",
        "focal_length_m",
        "tests/test_lens.py",
    ),
    Fault(
        "infinity-at-a-distance",
        "scenes/lens.py",
        "return 0.0 if distance >= HALF_MAX",
        "return 0.0 if distance > HALF_MAX",
        "tests/test_lens.py",
    ),
    Fault(
        "disk-denser-in-its-middle",
        "scenes/aperture.py",
        "_polar(np.sqrt(u), 2.0 * np.pi * v)",
        "_polar(u, 2.0 * np.pi * v)",
        "tests/test_aperture.py",
    ),
    Fault(
        "ring-denser-at-its-hole",
        "scenes/aperture.py",
        "_polar(np.sqrt(self.inner_radius**2 + u * self.area)",
        "_polar(self.inner_radius + u * (1.0 - self.inner_radius)",
        "tests/test_aperture.py",
    ),
    Fault(
        "polygon-denser-in-its-middle",
        "scenes/aperture.py",
        "self.outline(theta) * np.sqrt(u)",
        "self.outline(theta) * u",
        "tests/test_aperture.py",
    ),
    Fault(
        "blades-turned-the-other-way",
        "scenes/aperture.py",
        "(angle - np.radians(self.rotation_deg))",
        "(angle + np.radians(self.rotation_deg))",
        "tests/test_aperture.py",
    ),
    Fault(
        "mask-beyond-the-disk",
        "scenes/aperture.py",
        "points / np.maximum(1.0, np.linalg.norm(points, axis=-1, keepdims=True))",
        "points",
        "tests/test_aperture.py",
    ),
    Fault(
        "lens-points-on-four-spokes",
        "scenes/aperture.py",
        "_GOLDEN = (3.0 - np.sqrt(5.0)) / 2.0",
        "_GOLDEN = 0.25",
        "tests/test_aperture.py",
    ),
    Fault(
        "lens-points-off-the-middle-of-their-cells",
        "scenes/aperture.py",
        "aperture.warp((i + 0.5) / n",
        "aperture.warp(i / n",
        "tests/test_aperture.py",
    ),
    # Scenes
    Fault(
        "planes-half-a-pixel-off",
        "scenes/billboard.py",
        "x = np.arange(width) + 0.5 - width / 2",
        "x = np.arange(width) - width / 2",
        "tests/test_tracer.py::test_the_map_of_a_slanted_plane_is_its_disparity_at_the_centre_of_every_pixel",
    ),
    Fault(
        "overscan-without-the-pixels-area",
        "scenes/billboard.py",
        "math.ceil(self.blur_radius_max_px(lens)) + 2",
        "math.ceil(self.blur_radius_max_px(lens))",
        "tests/test_tracer.py::test_a_lens_too_wide_for_the_overscan_is_refused",
    ),
    Fault(
        "disparity-of-the-faintest-layer",
        "scenes/layered.py",
        "self.frame_rgba(i)[..., 3] >= 0.5",
        "self.frame_rgba(i)[..., 3] > 0.0",
        "tests/test_tracer.py::test_the_disparity_of_a_pixel_is_that_of_the_layer_that_gives_most_of_its_light",
    ),
    Fault(
        "straight-alpha-taken-for-premultiplied",
        "scenes/color.py",
        "rgba[..., :3] *= rgba[..., 3:]",
        "rgba[..., :3] *= 1.0",
        "tests/test_tracer.py::test_the_pinhole_image_is_the_composite_of_the_layers",
    ),
    # Real lenses
    Fault(
        "thickness-as-the-paper-prints-it",
        "scenes/prescription.py",
        "sag = aperture_radius**2 / (radius + math.sqrt(radius**2 - aperture_radius**2))",
        "sag = math.sqrt(radius**2 - aperture_radius**2)",
        "tests/test_optics.py::test_the_lens_of_drbokeh_has_its_focal_length",
    ),
    Fault(
        "light-refracted-the-other-way",
        "scenes/optics.py",
        "d = refract(d, normal, system.index[i] / system.index[i + 1])",
        "d = refract(d, normal, system.index[i + 1] / system.index[i])",
        "tests/test_optics.py::test_a_ball_focuses_at_half_of_n_r_over_n_minus_1",
    ),
    Fault(
        "seidel-distortion-without-its-petzval-part",
        "scenes/optics.py",
        "(2.0 * a_chief * y - a * y_chief)",
        "(a_chief * y - a * y_chief)",
        "tests/test_optics.py::test_small_fields_have_the_curvature_and_distortion_of_the_third_order",
    ),
    Fault(
        "rows-of-a-table-taken-for-radii",
        "scenes/prescription.py",
        "Surface(radius or math.inf, thickness, diameter / 2.0, glass",
        "Surface(radius or math.inf, thickness, diameter, glass",
        "tests/test_prescription.py::test_a_table_of_pbrt_is_the_lens_of_our_own_file",
    ),
    Fault(
        "blur-without-the-distance-of-chief-rays",
        "scenes/thick_lens.py",
        "self._of.focal_length / self._focus_denominator / self.pixel_pitch_mm",
        "self._of.focal_length / self.pixel_pitch_mm",
        "tests/test_thick_lens.py::test_a_flat_lens_has_the_blur_of_the_camera_formula",
    ),
    Fault(
        "bounds-of-the-pupil-too-tight",
        "scenes/thick_lens.py",
        "_MARGIN = 1.03",
        "_MARGIN = 0.9",
        "tests/test_thick_lens.py::test_no_ray_that_passes_is_outside_the_bounds_of_the_pupil",
    ),
    Fault(
        "rims-that-stop-no-ray-in-the-kernel",
        "raytrace/kernels_surfaces.py",
        "inside = p.x * p.x + p.y * p.y <= surfaces[i, RIM]",
        "inside = p.x * p.x + p.y * p.y <= 4.0 * surfaces[i, RIM]",
        "tests/test_real_lens.py::test_the_kernel_is_the_integral_in_slow_numpy",
    ),
    Fault(
        "rims-that-stop-no-ray-in-the-kernel-of-the-cpu",
        "raytrace/kernels_surfaces_cpu.py",
        "weight[x] if qx * qx + qy * qy <= rim else _ZERO",
        "weight[x] if qx * qx + qy * qy <= _TWO * _TWO * rim else _ZERO",
        "tests/test_real_lens.py::test_the_kernel_is_the_integral_in_slow_numpy",
    ),
    Fault(
        "wavelengths-that-replace-each-other-in-the-kernel-of-the-cpu",
        "raytrace/kernels_surfaces_cpu.py",
        "before = out[c, y, x0 + x] if adds else _ZERO",
        "before = _ZERO",
        "tests/test_real_lens.py::test_each_colour_is_seen_at_its_own_wavelengths",
    ),
    Fault(
        "rays-that-start-beside-the-plane-of-a-vertex",
        "scenes/optics.py",
        "p = p + (system.vertex[i] - p[..., 2:]) / d[..., 2:] * d\n",
        "p = p + (system.vertex[i] - p[..., 2:]) * d\n",
        "tests/test_spot_diagrams.py",
    ),
    Fault(
        "a-spot-that-is-upside-down",
        "raytrace/psf.py",
        "_frame_px(lens, -on_sensor[lit])",
        "_frame_px(lens, on_sensor[lit])",
        "tests/test_real_lens.py::test_rays_from_the_sensor_make_the_spot_of_rays_from_the_light",
    ),
    # Tracer
    Fault(
        "layers-shifted-the-other-way",
        "raytrace/transport.py",
        "shift = defocus_px[:, None, None] * points + jitter",
        "shift = -defocus_px[:, None, None] * points + jitter",
        "tests/test_tracer.py::test_a_triangle_aperture_turns_around_across_focus",
    ),
    Fault(
        "pixel-area-off-its-centre",
        "raytrace/transport.py",
        "_PLASTIC % 1.0 - 0.5",
        "_PLASTIC % 1.0",
        "tests/test_tracer.py::test_a_box_pixel_averages_over_its_area",
    ),
    Fault(
        "inverse-gamma",
        "raytrace/transport.py",
        "rgba_at_gamma[..., :3] **= gamma / REFERENCE_GAMMA",
        "rgba_at_gamma[..., :3] **= REFERENCE_GAMMA / gamma",
        "tests/test_tracer.py::test_kernels_equal_the_integral_in_slow_numpy",
    ),
    Fault(
        "one-row-in-four-without-occlusion",
        "raytrace/kernels_cpu.py",
        "t2[x] *= one - a2",
        "t2[x] *= one",
        "tests/test_tracer.py::test_kernels_equal_the_integral_in_slow_numpy",
    ),
    Fault(
        "rows-interpolated-the-wrong-way-round",
        "raytrace/kernels_cpu.py",
        "w[2] * a1 + w[3] * a2",
        "w[3] * a1 + w[2] * a2",
        "tests/test_tracer.py::test_kernels_equal_the_integral_in_slow_numpy",
    ),
    Fault(
        "columns-interpolated-the-wrong-way-round-in-taichi",
        "raytrace/kernels.py",
        "row, w[0], w[1], w[2], w[3])",
        "row, w[1], w[0], w[2], w[3])",
        "tests/test_tracer.py::test_shifting_in_numba_shifting_in_taichi_and_gathering_agree",
    ),
    Fault(
        "slope-along-y-of-the-other-sign",
        "raytrace/kernels.py",
        "gx * moves[0] + gy * moves[1], blur_parameter",
        "gx * moves[0] - gy * moves[1], blur_parameter",
        "tests/test_tracer.py::test_kernels_equal_the_integral_in_slow_numpy",
    ),
    Fault(
        "tiles-that-see-their-own-pixels-only",
        "raytrace/visibility.py",
        "first + size + reach",
        "first + size",
        "tests/test_visibility.py",
    ),
    Fault(
        "a-hole-hides-what-is-behind-it",
        "raytrace/visibility.py",
        ">= 1.0, np.all)",
        ">= 1.0, np.any)",
        "tests/test_visibility.py::test_a_hole_of_one_texel_keeps_the_ground_in_the_list",
    ),
    Fault(
        "noise-decay-1-for-2",
        "raytrace/convergence.py",
        '"point": 2.0',
        '"point": 1.0',
        "tests/test_noise.py::test_the_estimate_is_that_of_the_error",
    ),
    Fault(
        "noise-decay-2-for-1-in-box-pixels",
        "raytrace/convergence.py",
        '"box": 1.0',
        '"box": 2.0',
        "tests/test_noise.py::test_the_estimate_is_that_of_the_error",
    ),
    Fault(
        "noise-of-the-difference-taken-for-that-of-the-image",
        "raytrace/convergence.py",
        "dtype=np.float64) / (1.0 + self._fall)",
        "dtype=np.float64)",
        "tests/test_noise.py::test_the_estimate_is_that_of_the_error",
    ),
    Fault(
        "blocks-without-a-limit",
        "raytrace/convergence.py",
        "_BLOCK_LIMIT = 3.0",
        "_BLOCK_LIMIT = 300.0",
        "tests/test_noise.py::test_no_block_is_much_worse_than_the_image "
        "tests/test_noise.py::test_a_lone_light_becomes_a_filled_disk_and_the_flat_ground_stays_cheap",
    ),
    Fault(
        "pilot-that-misses-lights",
        "raytrace/convergence.py",
        "_PILOT_SPACING_PX = 8.0",
        "_PILOT_SPACING_PX = 80.0",
        "tests/test_noise.py::test_no_block_of_a_wide_disk_is_missed_by_the_first_two_sets",
    ),
    Fault(
        "what-is-beyond-the-frame-counts-as-noise-on-a-gpu",
        "raytrace/kernels.py",
        "if y < height and x < width:",
        "if y < height + 16 and x < width + 64:",
        "tests/test_noise.py::test_frames_that_stay_where_taichi_runs_have_the_same_errors",
    ),
    Fault(
        "noise-of-the-difference-taken-for-that-of-the-image-on-a-gpu",
        "raytrace/convergence.py",
        "square.astype(np.float64) / (1.0 + self._fall)",
        "square.astype(np.float64)",
        "tests/test_noise.py::test_frames_that_stay_where_taichi_runs_have_the_same_errors",
    ),
    # Classical renderers
    Fault(
        "sterefo-near-to-far",
        "renderers/classical/sterefo.py",
        "for i, s in enumerate(slices):",
        "for i, s in reversed(list(enumerate(slices))):",
        "tests/test_layered_renderers.py",
    ),
    Fault(
        "rvr-near-to-far",
        "renderers/classical/rvr.py",
        "for i in range(len(slices)):",
        "for i in reversed(range(len(slices))):",
        "tests/test_layered_renderers.py",
    ),
    Fault(
        "sterefo-slices-of-four-pixels",
        "renderers/classical/sterefo.py",
        "np.abs(defocus_px - s) < 1.0",
        "np.abs(defocus_px - s) < 2.0",
        "tests/test_layered_renderers.py",
    ),
    Fault(
        "rvr-dagger-not-normalized",
        "renderers/classical/rvr.py",
        "return sliced(linear, disparity, lens, arch).normalized()",
        "return sliced(linear, disparity, lens, arch).accumulated[..., :3]",
        "tests/test_layered_renderers.py",
    ),
    Fault(
        "rvr-with-masks-that-overlap",
        "renderers/classical/rvr.py",
        "OVERLAPPING = False",
        "OVERLAPPING = True",
        "tests/test_layered_renderers.py::test_rvr_darkens_a_ramp_and_its_normalised_form_does_not",
    ),
    Fault(
        "rvr-slices-of-four-pixels",
        "renderers/classical/rvr.py",
        "SLICE_PX = 1.0",
        "SLICE_PX = 4.0",
        "tests/test_layered_renderers.py::test_rvr_darkens_a_ramp_and_its_normalised_form_does_not",
    ),
    Fault(
        "disks-half-a-pixel-wide",
        "renderers/classical/sterefo.py",
        ">= -_ON_THE_RIM_PX",
        ">= -0.5",
        "tests/test_layered_renderers.py",
    ),
    Fault(
        "light-added-and-nothing-hidden",
        "renderers/classical/composite.py",
        "accumulated[y, x, c] * transmittance + sums",
        "accumulated[y, x, c] + sums",
        "tests/test_layered_renderers.py",
    ),
    Fault(
        "d2f-with-the-far-in-front",
        "renderers/classical/d2f_layered.py",
        "behind = -np.sign(defocus_px)",
        "behind = np.sign(defocus_px)",
        "tests/test_layered_renderers.py",
    ),
    Fault(
        "d2f-table-not-stretched",
        "renderers/classical/d2f_layered.py",
        "return np.unique(np.rint(stretch * curve))",
        "return LAYER_RADII_PX.astype(np.float64)",
        "tests/test_layered_renderers.py",
    ),
    Fault(
        "d2f-table-without-its-small-radii",
        "renderers/classical/d2f_layered.py",
        "int(np.ceil((_LAYERS - 1) * max(stretch, 1.0)))",
        "_LAYERS - 1",
        "tests/test_layered_renderers.py",
    ),
    Fault(
        "cocnet-radii-floored",
        "renderers/classical/cocnet_physical.py",
        "mask, share_of_next=share_of_nearer)",
        "mask)",
        "tests/test_layered_renderers.py",
    ),
    Fault(
        "cocnet-rim-fainter",
        "renderers/classical/cocnet_physical.py",
        "_BETA = 0.2",
        "_BETA = 0.4",
        "tests/test_layered_renderers.py",
    ),
    Fault(
        "vdslr-without-bisection",
        "renderers/classical/vdslr.py",
        "_BISECTIONS = 4",
        "_BISECTIONS = 0",
        "tests/test_layered_renderers.py",
    ),
    Fault(
        "vdslr-never-drops-a-ray",
        "renderers/classical/vdslr.py",
        "if surface - delta > stratum:",
        "if surface - delta > np.float32(1e9):",
        "tests/test_layered_renderers.py",
    ),
    Fault(
        "vdslr-rays-through-the-other-side-of-the-lens",
        "renderers/classical/vdslr.py",
        "within_reach, points.astype(np.float32)",
        "within_reach, -points.astype(np.float32)",
        "tests/test_renderers.py::test_a_triangle_points_the_other_way_on_the_other_side_of_focus",
    ),
    Fault(
        "scatter-in-focus-too-light",
        "renderers/classical/scatter.py",
        "np.square(defocus_px) + np.float32(0.2)",
        "np.square(defocus_px) + np.float32(1.2)",
        "tests/test_scatter.py",
    ),
    Fault(
        "scatter-with-softer-rims",
        "renderers/classical/scatter.py",
        "np.tanh(4.0 *",
        "np.tanh(2.0 *",
        "tests/test_scatter.py",
    ),
    Fault(
        "shapes-not-turned-before-focus",
        "renderers/splatting/outline.py",
        "np.where(defocus_px > 0.0, -1.0, 1.0)",
        "np.where(defocus_px > 0.0, 1.0, 1.0)",
        "tests/test_scatter.py",
    ),
    Fault(
        "kernel-mirrored-in-the-transform",
        "renderers/splatting/splat.py",
        "bank.dense(kernel)[::-1, ::-1]",
        "bank.dense(kernel)",
        "tests/test_scatter.py",
    ),
    Fault(
        "radii-rounded-to-quarters-of-a-pixel",
        "renderers/splatting/kernels.py",
        "_KERNELS_PER_ROOT = 512",
        "_KERNELS_PER_ROOT = 8",
        "tests/test_scatter.py",
    ),
    Fault(
        "drbokeh-occlusion-with-the-printed-sign",
        "renderers/classical/drbokeh.py",
        "half * (one - math.tanh",
        "half * (one + math.tanh",
        "tests/test_drbokeh.py",
    ),
    Fault(
        "drbokeh-equal-depths-not-hidden",
        "renderers/classical/drbokeh.py",
        "/ px_per_range - np.float32(0.1)",
        "/ px_per_range",
        "tests/test_drbokeh.py",
    ),
    Fault(
        "drbokeh-in-focus-with-disks-for-any-shape",
        "renderers/classical/drbokeh.py",
        "isinstance(aperture, Disk)",
        "True",
        "tests/test_drbokeh.py",
    ),
    Fault(
        "drbokeh-sees-the-image-of-a-point-not-turned",
        "renderers/classical/drbokeh.py",
        "seen_px = -np.copysign",
        "seen_px = np.copysign",
        "tests/test_drbokeh.py",
    ),
    Fault(
        "drbokeh-near-layers-hide-too-little",
        "renderers/classical/drbokeh.py",
        "transmittance *= 1.0 - visible\n",
        "transmittance *= 1.0 - visible**2\n",
        "tests/test_drbokeh.py",
    ),
    Fault(
        "drbokeh-box-of-the-paper-in-the-release",
        "renderers/classical/drbokeh.py",
        "np.floor((np.abs(defocus_px) + 1.0) / 2.0)",
        "np.floor(np.abs(defocus_px) + 1.0)",
        "tests/test_drbokeh.py",
    ),
    Fault(
        "drbokeh-gradient-without-the-area",
        "renderers/differentiable/drbokeh.py",
        "alpha], dim=1) / radius.square()",
        "alpha], dim=1) / radius.detach().square()",
        "tests/test_drbokeh.py",
    ),
    Fault(
        "drbokeh-gradient-without-visibility",
        "renderers/differentiable/drbokeh.py",
        "disk_gathers(torch.cat([alpha, torch.ones_like(alpha)]",
        "disk_gathers(torch.cat([alpha.detach(), torch.ones_like(alpha)]",
        "tests/test_drbokeh.py",
    ),
    Fault(
        "drbokeh-gradient-without-what-a-target-hides",
        "renderers/differentiable/drbokeh.py",
        "of_relative = of_target - tensor_of(of_source, relative)",
        "of_relative = -tensor_of(of_source, relative)",
        "tests/test_drbokeh.py",
    ),
    Fault(
        "soft-disks-whose-middle-is-too-wide",
        "renderers/differentiable/soft_disks.py",
        "return (-math.log(epsilon) + self.shift) / self.steepness",
        "return (-math.log(epsilon) + self.shift) / self.steepness / 4.0",
        "tests/test_drbokeh.py::test_sums_over_rims_have_the_gradients_of_sums_over_all_offsets",
    ),
    # Depth from defocus
    Fault(
        "depth-from-defocus-that-always-looks-behind",
        "inverse/depth_from_defocus/fit.py",
        "        for side in (behind, before):\n",
        "        for side in (behind,):\n",
        "tests/test_depth_from_defocus.py::test_the_side_of_the_focus_is_told_by_what_hides_what",
    ),
    Fault(
        "depth-from-defocus-of-the-farthest-disparity",
        "inverse/depth_from_defocus/problem.py",
        "return (self.lens.focus_disparity - self.farthest) / (self.nearest - self.farthest)",
        "return self.lens.focus_disparity / (self.nearest - self.farthest)",
        "tests/test_depth_from_defocus.py::test_the_unit_of_the_lens_does_not_matter",
    ),
    Fault(
        "depth-from-defocus-without-its-occlusion",
        "inverse/depth_from_defocus/renderings.py",
        "return _drbokeh(linear, relative, blur_parameter, occlusion=True)",
        "return _drbokeh(linear, relative, blur_parameter, occlusion=False)",
        "tests/test_depth_from_defocus.py::test_occlusion_keeps_the_rim_of_what_is_in_focus",
    ),
    Fault(
        "gaussian-with-the-radius-of-the-disk",
        "inverse/depth_from_defocus/renderings.py",
        "sigma = (0.5 * blur_parameter * relative.abs()",
        "sigma = (blur_parameter * relative.abs()",
        "tests/test_depth_from_defocus.py::test_a_gaussian_has_the_variance_of_the_disk",
    ),
    Fault(
        "smoothness-across-edges",
        "inverse/depth_from_defocus/losses.py",
        "torch.exp(-edge * step)",
        "torch.exp(-0.1 * step)",
        "tests/test_depth_from_defocus.py::test_a_step_of_disparity_costs_less_where_the_picture_steps",
    ),
    # BokehMe's maps
    Fault(
        "error-map-that-falls-too-early",
        "renderers/neural/bokehme/error_map.py",
        "1.0 - alpha_squared * alpha_squared",
        "1.0 - alpha_squared",
        "tests/test_error_map.py",
    ),
    Fault(
        "error-map-of-almost-equal-blur",
        "renderers/neural/bokehme/error_map.py",
        "_BETA_LIMIT = 2.0 / 3.0",
        "_BETA_LIMIT = 0.5",
        "tests/test_error_map.py",
    ),
    Fault(
        "error-map-of-slopes",
        "renderers/neural/bokehme/error_map.py",
        "(size > threshold) & (beyond_slope > threshold)",
        "size > threshold",
        "tests/test_error_map.py",
    ),
    Fault(
        "dilated-defocus-rounded",
        "renderers/neural/bokehme/dilated_defocus.py",
        "np.trunc(defocus_px)",
        "np.rint(defocus_px)",
        "tests/test_scatter.py",
    ),
    Fault(
        "far-blur-dilated-over-near",
        "renderers/neural/bokehme/dilated_defocus.py",
        "np.argsort(-whole.ravel()",
        "np.argsort(-np.abs(whole).ravel()",
        "tests/test_scatter.py",
    ),
    Fault(
        "lamps-before-what-hides-them",
        "renderers/neural/bokehme/highlights.py",
        "if source_px > 0.0:",
        "if source_px < 0.0:",
        "tests/test_highlights.py",
    ),
    Fault(
        "surfaces-that-block-their-own-lamps",
        "renderers/neural/bokehme/highlights.py",
        "surface_px > source_px + _NEARER_PX and miss_px",
        "miss_px",
        "tests/test_highlights.py",
    ),
    Fault(
        "lamps-shine-through",
        "renderers/neural/bokehme/highlights.py",
        "(nearest_px - source_px) / step_px) + 2",
        "-source_px / step_px) + 1",
        "tests/test_highlights.py",
    ),
    Fault(
        "ablations-lit-from-above-white",
        "renderers/neural/bokehme/inference.py",
        "base = np.minimum(image, np.float32(1.0))\n    with torch",
        "base = image\n    with torch",
        "tests/test_neural.py",
    ),
    # Benchmarks
    Fault(
        "lattice-in-numba-that-sees-through-thin-veils",
        "benchmarks/mpib_lattice.py",
        "if alpha >= np.float32(0.01):",
        "if alpha >= np.float32(0.1):",
        "tests/test_benchmarks.py::test_the_lattice_is_the_same_in_taichi_and_in_numba",
    ),
    Fault(
        "processor-time-without-children",
        "benchmarks/timing.py",
        "time.process_time() + children.ru_utime + children.ru_stime",
        "time.process_time()",
        "tests/test_renderer_benchmarks.py::test_processor_time_is_that_of_the_process_and_its_children",
    ),
    Fault(
        "ratios-of-wall-time-twice",
        "benchmarks/tracer.py",
        'clocks: tuple[Clock, Clock] = ("seconds", "cpu_seconds")',
        'clocks: tuple[Clock, Clock] = ("seconds", "seconds")',
        "tests/test_benchmarks.py::test_a_ratio_is_of_times_to_one_error_by_either_clock",
    ),
    # Networks
    Fault(
        "iunet-steps-without-the-ratio-on-s",
        "renderers/neural/bokehme/inference.py",
        "ratio * resized(defocus, size)",
        "resized(defocus, size)",
        "tests/test_neural.py",
    ),
    Fault(
        "iunet-steps-without-the-ratio-on-dilated-s",
        "renderers/neural/bokehme/inference.py",
        "ratio * resized(dilated, size)",
        "resized(dilated, size)",
        "tests/test_neural.py",
    ),
    Fault(
        "arnet-told-the-whole-blur",
        "renderers/neural/bokehme/inference.py",
        "resized(defocus, small) / factor",
        "resized(defocus, small)",
        "tests/test_neural.py",
    ),
    Fault(
        "iunet-clipped-to-its-training",
        "renderers/neural/bokehme/inference.py",
        "defocus.clamp(-1.0, 1.0)",
        "defocus.clamp(-1.2, 1.2)",
        "tests/test_neural.py",
    ),
    Fault(
        "scatter-where-it-is-wrong",
        "renderers/neural/bokehme/inference.py",
        "torch.lerp(classical, rendered, error)",
        "torch.lerp(rendered, classical, error)",
        "tests/test_neural.py",
    ),
    Fault(
        "iunet-kept-by-the-other-defocus",
        "renderers/neural/bokehme/inference.py",
        'dilated if upsampling.kept_by == "dilated" else defocus',
        "defocus",
        "tests/test_neural.py",
    ),
    Fault(
        "rims-softer-than-opencvs",
        "renderers/neural/bokehme/inference.py",
        "0.3 * (radius - 1) + 0.8",
        "0.3 * radius + 0.8",
        "tests/test_neural.py",
    ),
    Fault(
        "one-iunet-step-more",
        "renderers/neural/bokehme/inference.py",
        "range(int(math.log2(factor)))",
        "range(math.ceil(math.log2(factor)))",
        "tests/test_neural.py",
    ),
    Fault(
        "gamma-on-another-scale",
        "renderers/neural/bokehme/inference.py",
        "((gamma - low) / (high - low))",
        "(gamma / high)",
        "tests/test_neural.py",
    ),
    Fault(
        "blocks-without-their-sums",
        "renderers/neural/bokehme/network.py",
        "x = block(x) + x",
        "x = block(x)",
        "tests/test_networks.py",
    ),
    Fault(
        "coarse-picture-with-aligned-corners",
        "renderers/neural/bokehme/network.py",
        'mode="bilinear", align_corners=False',
        'mode="bilinear", align_corners=True',
        "tests/test_networks.py",
    ),
    Fault(
        "pictures-resized-without-aligned-corners",
        "renderers/neural/layers.py",
        "align_corners=True",
        "align_corners=False",
        "tests/test_networks.py",
    ),
    Fault(
        "deepfocus-without-its-last-sum",
        "renderers/neural/deepfocus/network.py",
        "i in (2, 4, 6)",
        "i in (2, 4)",
        "tests/test_networks.py",
    ),
    Fault(
        "multiplications-at-the-size-of-the-photograph",
        "evaluation/run.py",
        "given_px or (row",
        "(row",
        "tests/test_benchmark.py::test_pairs_say_what_networks_cost_at_the_size_that_they_are_given",
    ),
    Fault(
        "additions-counted-with-multiplications",
        "renderers/neural/renderer.py",
        "counter.get_total_flops() / 2",
        "counter.get_total_flops()",
        "tests/test_benchmark.py::test_pairs_say_what_networks_cost_at_the_size_that_they_are_given",
    ),
    Fault(
        "a-package-that-is-missing-is-a-traceback",
        "runtime/command.py",
        "if (advice := not_installed(error)) is None:",
        "if (advice := not_installed(error)) or True:",
        "tests/test_cli.py::test_a_command_without_its_extra_says_what_to_install",
    ),
    Fault(
        "a-package-that-is-missing-ends-the-process-of-a-renderer",
        "evaluation/external.py",
        "except ModuleNotFoundError as error:\n                raise RendererSpecError",
        "except ZeroDivisionError as error:\n                raise RendererSpecError",
        "tests/test_cli.py::test_a_command_without_its_extra_says_what_to_install",
    ),
    Fault(
        "deepfocus-darkened-by-a-lamp",
        "renderers/neural/deepfocus/inference.py",
        "shown.max().clamp(max=1.0)",
        "shown.max()",
        "tests/test_neural.py::test_deepfocus_sees_a_picture_in_units_of_its_peak_and_no_darker_for_a_lamp",
    ),
    Fault(
        "deepfocus-trained-darkened-by-a-lamp",
        "training/models/deepfocus.py",
        "min(regraded(crop.peak, gamma, REFERENCE_GAMMA), 1.0)",
        "regraded(crop.peak, gamma, REFERENCE_GAMMA)",
        "tests/test_training.py::test_deepfocus_is_trained_on_crops_as_it_sees_them_in_their_whole_pictures",
    ),
    Fault(
        "deepfocus-trained-on-the-peak-of-the-crop",
        "datasets/bokehdata/torch_data.py",
        "peak=float(image.max())",
        "peak=float(image[window].max())",
        "tests/test_training.py::test_deepfocus_is_trained_on_crops_as_it_sees_them_in_their_whole_pictures",
    ),
    Fault(
        "deepfocus-trained-on-the-range-of-the-crop",
        "datasets/bokehdata/torch_data.py",
        "(float(whole.min()), float(whole.max()))",
        "(float(true.min()), float(true.max()))",
        "tests/test_training.py::test_deepfocus_is_trained_on_crops_as_it_sees_them_in_their_whole_pictures",
    ),
    Fault(
        "deepfocus-channels-in-the-order-of-pytorch",
        "renderers/neural/deepfocus/network.py",
        "reshape(b, c, 4, h // 2, w // 2).transpose(1, 2)",
        "reshape(b, c, 4, h // 2, w // 2)",
        "tests/test_networks.py",
    ),
    Fault(
        "deeplens-told-the-blur-of-the-smallest-size",
        "renderers/neural/deeplens/inference.py",
        "unit_px = RADIUS_MAX_PX * 2**steps",
        "unit_px = RADIUS_MAX_PX",
        "tests/test_deeplens.py::test_a_radius_keeps_its_part_of_the_picture",
    ),
    Fault(
        "deeplens-halved-by-its-sides-alone",
        "renderers/neural/deeplens/inference.py",
        "max(max(size) / _LONG_SIDE_MAX_PX, radius_max_px / RADIUS_MAX_PX)",
        "max(size) / _LONG_SIDE_MAX_PX",
        "tests/test_deeplens.py::test_a_picture_is_halved_until_its_blur_is_small_enough",
    ),
    Fault(
        "deeplens-shown-at-its-own-gamma",
        "renderers/neural/deeplens/inference.py",
        "regraded(shown, REFERENCE_GAMMA, gamma)",
        "shown",
        "tests/test_deeplens.py::test_networks_see_gamma_22_and_the_picture_has_its_own",
    ),
    Fault(
        "features-in-the-order-of-planes",
        "renderers/neural/deeplens/network.py",
        "features.unflatten(1, (-1, 3))",
        "features.unflatten(1, (3, -1)).transpose(1, 2)",
        "tests/test_deeplens.py::test_a_picture_is_a_weighted_mean_of_pictures",
    ),
    Fault(
        "mirror-beside-the-outermost-pixels",
        "renderers/neural/deeplens/network.py",
        "x.narrow(dim, 0, reach)",
        "x.narrow(dim, 1, reach)",
        "tests/test_deeplens.py::test_filtered_pictures_go_on_as_in_a_mirror",
    ),
    Fault(
        "kernel-net-of-pictures-from-0",
        "renderers/neural/deeplens/network.py",
        "torch.cat([image - 0.5, defocus], 1)",
        "torch.cat([image, defocus], 1)",
        "tests/test_deeplens.py::test_the_deep_half_of_the_kernel_net_sees_the_defocus_alone",
    ),
    Fault(
        "upsampling-without-its-sums",
        "renderers/neural/deeplens/network.py",
        "_resized(layer(x), skip.shape) + skip",
        "_resized(layer(x), skip.shape)",
        "tests/test_deeplens.py::test_sums_of_the_upsampling_go_straight_into_the_next_convolution",
    ),
    Fault(
        "upsampling-in-tiles-that-overlap-too-little",
        "renderers/neural/deeplens/network.py",
        "sum(_REACHES), _TILE",
        "sum(_REACHES) - 2, _TILE",
        "tests/test_deeplens.py::test_tiles_of_the_upsampling_give_the_picture_of_the_whole",
    ),
    Fault(
        "ampn-begun-without-detail",
        "renderers/neural/ampn/network.py",
        "_set(tune[-1], bias=1.0)",
        "_set(tune[-1], bias=0.0)",
        "tests/test_ampn.py::test_a_short_training_begins_with_the_picture",
    ),
    Fault(
        "filtered-pictures-of-mixed-colours",
        "renderers/neural/deeplens/network.py",
        "(colour[0][:, None] == colour[1])",
        "(colour[0][:, None] >= 0)",
        "tests/test_deeplens.py::test_filtered_pictures_are_blurred_ones_at_first",
    ),
    Fault(
        "deepfocus-told-the-radius",
        "renderers/neural/deepfocus/inference.py",
        "2.0 * defocus_px.abs()",
        "defocus_px.abs()",
        "tests/test_neural.py",
    ),
    Fault(
        "foreground-that-is-farther",
        "renderers/layering/drbokeh.py",
        "return level > threshold",
        "return level < threshold",
        "tests/test_layering.py",
    ),
    Fault(
        "edge-pixels-left-in-the-background",
        "renderers/layering/drbokeh.py",
        "seen = ~(foreground | (_beside(foreground) & beside_nearer(disparity)))",
        "seen = ~foreground",
        "tests/test_layering.py",
    ),
    Fault(
        "slopes-painted-as-edges",
        "renderers/layering/drbokeh.py",
        "_beside(foreground) & beside_nearer(disparity)",
        "_beside(foreground)",
        "tests/test_layering.py",
    ),
    Fault(
        "light-brighter-than-anything-nearby-kept-in-a-mixed-pixel",
        "renderers/layering/filling.py",
        "np.clip(linear, least, most)",
        "linear",
        "tests/test_layering.py",
    ),
    Fault(
        "background-mask-of-one-radius",
        "renderers/layering/mpib.py",
        "2.0 * reach_px * scale",
        "reach_px * scale",
        "tests/test_layering.py",
    ),
    Fault(
        "background-mask-grown-away-from-what-is-near",
        "renderers/layering/mpib.py",
        "x, y = columns + vector[:, 0], rows + vector[:, 1]",
        "x, y = columns - vector[:, 0], rows - vector[:, 1]",
        "tests/test_layering.py",
    ),
    Fault(
        "background-painted-by-what-hides-it",
        "renderers/layering/mpib.py",
        "painted(linear, alone if alone.any() else seen, mixed)",
        "painted(linear, ~mixed, mixed)",
        "tests/test_layering.py",
    ),
    Fault(
        "hidden-behind-by-the-nearest-edge-of-anything",
        "renderers/layering/mpib.py",
        "farther = edges & (disparity < disparity[here].min() - EDGE * np.ptp(disparity))",
        "farther = edges",
        "tests/test_layering.py",
    ),
    Fault(
        "layers-at-the-gamma-of-the-blur",
        "renderers/layering/renderer.py",
        "storable_light(image)",
        "storable_light(image ** (gamma / REFERENCE_GAMMA))",
        "tests/test_layering.py",
    ),
    Fault(
        "planes-put-near-to-far",
        "renderers/neural/mpib/planes.py",
        "enumerate(radius_px.tolist())",
        "reversed(list(enumerate(radius_px.tolist())))",
        "tests/test_mpib.py",
    ),
    Fault(
        "planes-sharp-at-their-centre-alone",
        "renderers/neural/mpib/planes.py",
        "(self.disparity - focus[:, None]).abs() - self.slack",
        "(self.disparity - focus[:, None]).abs()",
        "tests/test_mpib.py",
    ),
    Fault(
        "planes-not-divided-by-their-weight",
        "renderers/neural/mpib/planes.py",
        "total[0, :3] / total[0, 3:].clamp(min=_EPSILON)",
        "total[0, :3]",
        "tests/test_mpib.py",
    ),
    Fault(
        "planes-blended-the-other-way-round",
        "renderers/neural/mpib/planes.py",
        "torch.lerp(image, background, omega[i])",
        "torch.lerp(background, image, omega[i])",
        "tests/test_mpib.py",
    ),
    Fault(
        "small-mpib-with-random-planes-to-begin-with",
        "renderers/neural/mpib/network.py",
        "nn.init.zeros_(self.decoder.head.weight)",
        "nn.init.normal_(self.decoder.head.weight)",
        "tests/test_mpib.py",
    ),
    Fault(
        "mpib-trained-on-the-range-of-the-crop",
        "training/models/mpib.py",
        "low, high = known.whole_range",
        "low, high = float(known.disparity.min()), float(known.disparity.max())",
        "tests/test_mpib.py",
    ),
    Fault(
        "mpib-judged-where-light-comes-from-beyond-the-crop",
        "training/models/mpib.py",
        "self._border = min(int(preset.blur_parameter_max), preset.crop_px // 3)",
        "self._border = 0",
        "tests/test_mpib.py",
    ),
    Fault(
        "cocnet-kernels-turned-by-180-degrees",
        "renderers/neural/cocnet/network.py",
        "enumerate(kernels.unbind(2))",
        "enumerate(kernels.flip(2).unbind(2))",
        "tests/test_cocnet.py::test_the_filter_is_a_sum_over_offsets_of_every_pixel",
    ),
    Fault(
        "cocnet-kernels-by-tap-before-colour",
        "renderers/neural/cocnet/network.py",
        ".unflatten(1, (channels, _TAPS))",
        ".unflatten(1, (_TAPS, channels)).transpose(1, 2)",
        "tests/test_cocnet.py::test_a_template_that_is_the_picture_is_added_by_its_weight",
    ),
    Fault(
        "cocnet-tiles-without-overlap",
        "renderers/neural/cocnet/network.py",
        "_REACH = KERNEL_SIDE // 2",
        "_REACH = 0",
        "tests/test_cocnet.py::test_tiles_of_kernels_give_the_picture_of_the_whole",
    ),
    Fault(
        "cocnet-depth-that-grows-towards-the-camera",
        "renderers/neural/cocnet/inference.py",
        "(high - disparity) / (high - low)",
        "(disparity - low) / (high - low)",
        "tests/test_cocnet.py::test_depth_grows_with_distance",
    ),
    Fault(
        "ampn-mask-that-keeps-what-is-out-of-focus",
        "renderers/neural/ampn/network.py",
        "kept * image + (1.0 - kept) * large",
        "(1.0 - kept) * image + kept * large",
        "tests/test_ampn.py::test_the_mask_keeps_the_image_and_the_rest_is_rendered",
    ),
    Fault(
        "ampn-aperture-that-opens",
        "renderers/neural/ampn/network.py",
        "found + closing * (1.0 - found)",
        "found * (1.0 - closing)",
        "tests/test_ampn.py::test_closing_the_aperture_leads_to_the_image",
    ),
    Fault(
        "pyramid-that-darkens",
        "renderers/neural/pyramid.py",
        "4.0 * x",
        "2.0 * x",
        "tests/test_ampn.py::test_the_filter_of_the_pyramid_keeps_constants_and_is_binomial",
    ),
    Fault(
        "mask-channel-with-weights-of-a-colour",
        "renderers/neural/trunks.py",
        "value.zero_()",
        "pass",
        "tests/test_trunks.py::test_what_is_seen_beside_the_picture_begins_at_zero",
    ),
    Fault(
        "d2f-kernels-as-printed",
        "renderers/neural/d2f/layers.py",
        "(raw / raw.sum()).float()",
        "raw.float()",
        "tests/test_d2f.py::test_a_soft_disk_is_that_of_equation_13",
    ),
    Fault(
        "d2f-far-layers-in-front",
        "renderers/neural/d2f/layers.py",
        "places = [(1, layer) for layer in numbers]",
        "places = [(1, layer) for layer in reversed(numbers)]",
        "tests/test_d2f.py::test_a_sharp_subject_hides_the_blur_behind_it",
    ),
    Fault(
        "d2f-fourier-blur-off-by-a-pixel",
        "renderers/neural/d2f/layers.py",
        "side - 1 : side - 1 + width]",
        "side : side + width]",
        "tests/test_d2f.py::test_fourier_transforms_blur_as_sums_do",
    ),
    Fault(
        "d2f-highlights-the-other-way-round",
        "renderers/neural/d2f/network.py",
        ">= HIGHLIGHT",
        "< HIGHLIGHT",
        "tests/test_d2f.py::test_highlights_count_by_the_fifth_power_of_their_colour",
    ),
    Fault(
        "d2f-sharp-where-it-is-blurred",
        "renderers/neural/d2f/fusion.py",
        "defocus < IN_FOCUS",
        "defocus >= IN_FOCUS",
        "tests/test_d2f.py::test_every_fusion_gives_either_picture_where_only_one_is_wanted",
    ),
    Fault(
        "dmshn-without-features-of-the-level-below",
        "renderers/neural/dmshn/network.py",
        "encoded + _doubled(below)",
        "encoded",
        "tests/test_dmshn.py::test_a_level_is_given_what_the_one_below_found",
    ),
    Fault(
        "average-of-weights-without-statistics",
        "training/module.py",
        "average.copy_(value)",
        "pass",
        "tests/test_training.py::test_the_average_of_weights_has_the_statistics_of_the_network",
    ),
    # Metrics
    Fault(
        "rmse-s-scaled-the-other-way",
        "evaluation/metrics.py",
        "_dot(prediction, truth) / energy",
        "energy / _dot(prediction, truth)",
        "tests/test_metrics.py",
    ),
    Fault(
        "psnr-of-an-amplitude-in-10-log",
        "evaluation/metrics.py",
        "20.0 * math.log10",
        "10.0 * math.log10",
        "tests/test_metrics.py",
    ),
    Fault(
        "ssim-in-wider-windows",
        "evaluation/metrics.py",
        "_GAUSSIAN_SIGMA = 11, 1.5",
        "_GAUSSIAN_SIGMA = 11, 1.6",
        "tests/test_metrics.py",
    ),
    Fault(
        "ssim-with-another-constant",
        "evaluation/metrics.py",
        "(0.03 * data_range) ** 2",
        "(0.02 * data_range) ** 2",
        "tests/test_metrics.py",
    ),
    Fault(
        "uniform-ssim-with-variances-of-the-population",
        "evaluation/metrics.py",
        "unbiased = _UNIFORM_SIZE**2 / (_UNIFORM_SIZE**2 - 1)",
        "unbiased = 1.0",
        "tests/test_metrics.py",
    ),
    Fault(
        "zncc-without-a-mean",
        "evaluation/metrics.py",
        "g = truth - truth.dtype.type(truth.mean(dtype=np.float64))",
        "g = truth",
        "tests/test_metrics.py",
    ),
    Fault(
        "highlights-of-a-prediction-not-clipped",
        "evaluation/scoring.py",
        "np.clip(prediction, 0.0, 1.0), np.clip(truth",
        "prediction, np.clip(truth",
        "tests/test_metrics.py",
    ),
    Fault(
        "ssim-of-a-region-beside-it",
        "evaluation/scoring.py",
        "mask[border:-border, border:-border]",
        "mask[: -2 * border, : -2 * border]",
        "tests/test_metrics.py",
    ),
    Fault(
        "lpips-of-display-values",
        "evaluation/lpips.py",
        "((2.0 * x - 1.0) - self._shift.to",
        "(x - self._shift.to",
        "tests/test_lpips.py",
    ),
    Fault(
        "lpips-without-unit-features",
        "evaluation/lpips.py",
        "features.append(x / (length + _EPSILON))",
        "features.append(x)",
        "tests/test_lpips.py",
    ),
    # Protocols
    Fault(
        "search-over-the-whole-frame",
        "evaluation/measuring.py",
        "mask = ground.masks.get(self.protocol.region)",
        'mask = ground.masks.get("all")',
        "tests/test_benchmark.py::test_the_best_blur_parameter_is_that_of_the_region_which_the_protocol_names",
    ),
    Fault(
        "span-multiplied",
        "evaluation/measuring.py",
        "return 1.0 / span",
        "return span",
        "tests/test_benchmark.py::test_an_unknown_blur_parameter_is_searched_from_1_to_100_px",
    ),
    Fault(
        "search-away-from-the-minimum",
        "evaluation/protocols.py",
        "if at(high - inner) <= at(low + inner):",
        "if at(high - inner) > at(low + inner):",
        "tests/test_benchmark.py::test_the_search_finds_the_minimum_to_a_step",
    ),
    Fault(
        "the-first-pictures-for-a-limit",
        "evaluation/protocols.py",
        "_balanced(cases)[:limit]",
        "range(limit)",
        "tests/test_benchmark.py::test_a_limit_draws_from_the_data_without_its_rhythm",
    ),
    Fault(
        "in-focus-within-two-pixels",
        "evaluation/regions.py",
        "radius_px < IN_FOCUS_PX",
        "radius_px < 2.0 * IN_FOCUS_PX",
        "tests/test_regions.py",
    ),
    Fault(
        "boundaries-of-the-farther-side",
        "evaluation/regions.py",
        "np.maximum(np.abs(highest), np.abs(lowest))",
        "np.minimum(np.abs(highest), np.abs(lowest))",
        "tests/test_regions.py",
    ),
    Fault(
        "corruption-in-smaller-windows",
        "datasets/bokehdata/corruptions.py",
        "side = 2 * self.level + 1",
        "side = 2 * self.level - 1",
        "tests/test_regions.py",
    ),
    # Training
    Fault(
        "deeplens-trained-in-another-unit",
        "training/models/deeplens.py",
        "unit_px = 2.0 * RADIUS_MAX_PX",
        "unit_px = RADIUS_MAX_PX",
        "tests/test_deeplens.py::test_the_unit_of_training_is_that_of_inference",
    ),
    Fault(
        "deeplens-reduced-without-its-blur",
        "training/models/deeplens.py",
        "p[:, 9:] * size[1] / width / unit_px",
        "p[:, 9:] / unit_px",
        "tests/test_deeplens.py::test_batches_are_reduced_to_the_blur_that_is_learned",
    ),
    Fault(
        "deeplens-trained-on-every-gamma",
        "training/models/deeplens.py",
        "regraded(np.clip(p, 0.0, 1.0), gamma, REFERENCE_GAMMA)",
        "np.clip(p, 0.0, 1.0)",
        "tests/test_deeplens.py::test_samples_are_those_of_gamma_22_whatever_the_gamma",
    ),
    Fault(
        "deepfocus-trained-on-every-gamma",
        "training/models/deepfocus.py",
        '"image": regraded(crop.image, gamma, REFERENCE_GAMMA)',
        '"image": crop.image',
        "tests/test_training.py::test_deepfocus_learns_and_renders_gamma_22_whatever_the_gamma",
    ),
    Fault(
        "pairs-with-the-margin-of-the-largest-blur",
        "training/data.py",
        "margin_for(preset.blur_parameter_max) if margin is None else margin",
        "margin_for(preset.blur_parameter_max)",
        "tests/test_training.py::test_pictures_alone_are_cut_as_small_as_their_crops",
    ),
    Fault(
        "corrupted-beyond-the-margin",
        "datasets/bokehdata/corruptions.py",
        "REACH_PX = max(LEVELS)",
        "REACH_PX = max(LEVELS) - 1",
        "tests/test_training.py::test_pictures_alone_are_cut_as_small_as_their_crops",
    ),
    Fault(
        "a-limit-that-limits-nothing",
        "training/data.py",
        "for case in cases))[:limit]",
        "for case in cases))",
        "tests/test_training.py::test_a_limit_takes_the_first_scenes_of_each_folder",
    ),
    Fault(
        "biases-in-half-floats",
        "renderers/neural/checkpoints.py",
        "value.ndim > 1",
        "value.ndim > 0",
        "tests/test_training.py::test_biases_and_statistics_are_not_halved",
    ),
    Fault(
        "arnet-at-half-size-told-s",
        "training/models/iunet.py",
        "resized(defocus, half) / 2.0",
        "resized(defocus, half)",
        "tests/test_training.py::test_an_arnet_at_half_size_is_told_half_the_blur",
    ),
    Fault(
        "training-in-units-of-12-px",
        "training/models/bokehme.py",
        'batch["defocus_px"] / DEFOCUS_UNIT_PX',
        'batch["defocus_px"] / 12.0',
        "tests/test_training.py::test_an_arnet_at_half_size_is_told_half_the_blur",
    ),
    Fault(
        "scatter-of-the-true-disparity",
        "training/models/bokehme.py",
        "classical_half(base, known.disparity_given,",
        "classical_half(base, known.disparity,",
        "tests/test_torch_data.py",
    ),
    Fault(
        "error-map-of-the-given-disparity",
        "training/models/bokehme.py",
        "improved_error_map(known.disparity, known.lens)",
        "improved_error_map(known.disparity_given, known.lens)",
        "tests/test_torch_data.py",
    ),
    Fault(
        "differences-along-x-alone",
        "training/losses.py",
        "difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()",
        "2.0 * difference.diff(dim=-1).abs().mean()",
        "tests/test_losses.py",
    ),
    Fault(
        "cross-entropy-of-full-weight",
        "training/models/arnet.py",
        "BCE_WEIGHT = 0.1",
        "BCE_WEIGHT = 1.0",
        "tests/test_losses.py",
    ),
    Fault(
        "errors-counted-where-the-scatter-is-right",
        "training/losses.py",
        "torch.lerp(truth, rendered, error_map.clamp(min=elsewhere))",
        "torch.lerp(truth, rendered, (1.0 - error_map).clamp(min=elsewhere))",
        "tests/test_losses.py",
    ),
    Fault(
        "presets-for-twice-the-blur",
        "training/presets.py",
        "blur_parameter_max: float = 12.0",
        "blur_parameter_max: float = 24.0",
        "tests/test_training.py::test_networks_learn_the_blur_that_they_are_used_at",
    ),
    Fault(
        "iunet-on-the-blur-of-arnet",
        "training/models/iunet.py",
        "steps=12000, blur_parameter_max=24.0",
        "steps=12000, blur_parameter_max=12.0",
        "tests/test_training.py::test_networks_learn_the_blur_that_they_are_used_at",
    ),
    Fault(
        "paper-trained-on-perfect-disparity",
        "training/presets.py",
        "augmentation: float = 0.75",
        "augmentation: float = 0.0",
        "tests/test_training.py::test_the_paper_is_trained_as_it_says",
    ),
    Fault(
        "augmentation-without-erosion",
        "datasets/bokehdata/corruptions.py",
        "OPERATIONS[rng.integers(len(OPERATIONS))]",
        "OPERATIONS[rng.integers(2)]",
        "tests/test_training.py::test_disparities_are_corrupted_as_often_as_asked_and_as_they_are_measured",
    ),
    Fault(
        "augmentation-of-the-lower-levels",
        "datasets/bokehdata/corruptions.py",
        "rng.choice(LEVELS)",
        "rng.choice(LEVELS[:3])",
        "tests/test_training.py::test_disparities_are_corrupted_as_often_as_asked_and_as_they_are_measured",
    ),
    Fault(
        "augmentation-the-other-way-round",
        "datasets/bokehdata/torch_data.py",
        "rng.uniform() < settings.augmentation",
        "rng.uniform() > settings.augmentation",
        "tests/test_training.py::test_a_preset_says_how_many_crops_have_an_imperfect_disparity",
    ),
    Fault(
        "planes-mirrored-apart",
        "datasets/bokehdata/torch_data.py",
        "turned[:, ::-1] if mirrored else turned",
        "turned[:, ::-1] if mirrored and turned.ndim == 3 else turned",
        "tests/test_torch_data.py::test_planes_are_turned_together",
    ),
    Fault(
        "held-out-scenes-trained-on",
        "training/held_out.py",
        "[case for case in cases if case.origins not in held_out]",
        "list(cases)",
        "tests/test_training.py::test_held_out_scenes_are_never_trained_on",
    ),
    Fault(
        "every-process-with-the-same-samples",
        "training/data.py",
        "range(first * world + rank,",
        "range(first * world,",
        "tests/test_training.py::test_ranks_share_the_steps_out",
    ),
    Fault(
        "crops-without-what-blurs-into-them",
        "training/data.py",
        "math.ceil(blur_radius_max_px) + 3",
        "math.ceil(blur_radius_max_px) - 3",
        "tests/test_torch_data.py",
    ),
    Fault(
        "detail-that-fades-too-slowly",
        "training/models/sharp_start.py",
        "FADING = 3.0",
        "FADING = 1.0",
        "tests/test_training.py::test_an_iunet_begins_with_the_sharp_image_in_focus_and_the_coarse_one_elsewhere",
    ),
    Fault(
        "precision-for-recall",
        "training/models/error_map.py",
        "both / first if first else math.nan, both / second if second else math.nan",
        "both / second if second else math.nan, both / first if first else math.nan",
        "tests/test_training.py::test_precision_and_recall_of_masks",
    ),
    # Data
    Fault(
        "png-of-display-values-read-as-linear",
        "datasets/bokehdata/images.py",
        "return linear_from_display(read_png(path)) if",
        "return read_png(path) if",
        "tests/test_bokehdata.py::test_one_power_decodes_every_gamma",
    ),
    Fault(
        "linear-light-read-as-display-values",
        "datasets/bokehdata/images.py",
        "return display_from_linear(np.maximum(picture, 0.0))",
        "return np.maximum(picture, 0.0)",
        "tests/test_benchmark.py::test_integer_files_are_display_values_and_floating_point_ones_linear_light",
    ),
    # Pairs
    Fault(
        "dpdd-from-blurred-to-sharp",
        "datasets/bokehdata/pairs/dpdd.py",
        "image_file=image,\n                truth_file=truth,",
        "image_file=truth,\n                truth_file=image,",
        "tests/test_pairs.py::test_pairs_are_cases_in_the_order_of_their_numbers",
    ),
    Fault(
        "pairs-in-the-order-of-their-letters",
        "datasets/bokehdata/pairs/pair.py",
        "return not is_number, int(stem) if is_number else 0, stem",
        "return not is_number, 0, stem",
        "tests/test_pairs.py::test_pairs_are_cases_in_the_order_of_their_numbers",
    ),
    Fault(
        "pairs-of-two-sizes",
        "datasets/bokehdata/pairs/pair.py",
        "if sizes[0] != sizes[1]:",
        "if False:",
        "tests/test_pairs.py::test_misfits_are_named_and_the_other_pairs_stay",
    ),
    Fault(
        "focus-where-there-is-no-detail",
        "datasets/bokehdata/pairs/pair.py",
        "np.where(detailed, after / np.maximum(before, np.float32(1e-6)), 0.0)",
        "after / np.maximum(before, np.float32(1e-6))",
        "tests/test_pairs.py::test_the_focus_of_a_pair_is_where_the_truth_keeps_the_detail_of_the_input",
    ),
    Fault(
        "val294-with-training-pairs",
        "evaluation/protocols.py",
        "numbers=(_EBB_PAIRS - count, _EBB_PAIRS),",
        "numbers=(_EBB_PAIRS - count - 1, _EBB_PAIRS),",
        "tests/test_benchmark.py::test_val470_begins_at_pair_4224",
    ),
    Fault(
        "dmshn-in-floating-point",
        "evaluation/scales.py",
        "return _in_eight_bits(rendered) if self.quantised else rendered",
        "return rendered",
        "tests/test_scales.py",
    ),
    Fault(
        "inputs-by-bicubic",
        "evaluation/scales.py",
        "Image.Resampling.LANCZOS",
        "Image.Resampling.BICUBIC",
        "tests/test_scales.py",
    ),
    Fault(
        "sensor-that-does-not-move",
        "scenes/camera.py",
        "focus_disparity=1.0 / focus_m",
        "focus_disparity=0.0",
        "tests/test_photography.py::test_the_blur_of_a_50_mm_lens_at_f_1_8_is_that_of_paraxial_optics",
    ),
    Fault(
        "ground-that-is-tilted-the-other-way",
        "scenes/procedural/grounds.py",
        "(math.cos(view.tilt_rad) - y / view.focal_length_px * math.sin(view.tilt_rad))",
        "(math.cos(view.tilt_rad) + y / view.focal_length_px * math.sin(view.tilt_rad))",
        "tests/test_photography.py::test_tiles_of_the_ground_are_as_long_as_they_are_wide",
    ),
    Fault(
        "inputs-without-a-lens",
        "datasets/bokehdata/cases.py",
        "if self.input_setting is not None:\n            return display",
        "if False:\n            return display",
        "tests/test_export.py::test_a_case_of_a_stack_with_an_input_is_that_input_and_another_picture",
    ),
    Fault(
        "misalignment-beyond-what-is-asked",
        "datasets/bokehdata/pairs/export.py",
        "self.misalignment_px * math.sqrt(rng.uniform())",
        "self.misalignment_px * 2.0 * math.sqrt(rng.uniform())",
        "tests/test_export.py::test_misalignment_moves_the_truth_no_farther_than_asked",
    ),
    # Light fields
    Fault(
        "views-shifted-the-wrong-way",
        "blender_scripts/light_field.py",
        "source = self._overscan - shift_px[:, ::-1]",
        "source = self._overscan + shift_px[:, ::-1]",
        "tests/test_light_field.py::test_a_view_moves_by_its_shift_with_bilinear_weights",
    ),
    Fault(
        "noise-of-the-picture-alone",
        "blender_scripts/light_field.py",
        "return self.picture <= limit and self.block <= _BLOCK_LIMIT * limit",
        "return self.picture <= limit",
        "tests/test_light_field.py::test_one_bad_block_is_enough_to_go_on",
    ),
    Fault(
        "noise-of-one-half",
        "blender_scripts/light_field.py",
        "np.square((shown[0] - shown[1]) / 2.0)",
        "np.square(shown[0] - shown[1])",
        "tests/test_light_field.py::test_noise_is_known_within_a_factor_of_two",
    ),
    Fault(
        "dense-middle-of-the-lens-counted-fully",
        "blender_scripts/lens_points.py",
        " / density[:, None]",
        "",
        "tests/test_light_field.py::test_every_aperture_sees_an_even_lens",
    ),
    Fault(
        "lens-points-of-even-density",
        "blender_scripts/lens_points.py",
        "np.sqrt((contains / relative**4).sum(axis=1))",
        "np.ones(len(rims) - 1)",
        "tests/test_light_field.py::test_the_smallest_aperture_has_as_good_a_mean_as_the_largest",
    ),
    Fault(
        "offsets-inside-the-pixel-not-undone",
        "blender_scripts/views.py",
        "self._focus_px[:, None] * point - offset_px",
        "self._focus_px[:, None] * point + 0.0 * offset_px",
        "tests/test_light_field.py::test_pixel_filter_is_box_and_tent_at_every_focus",
    ),
    Fault(
        "one-seed-for-both-halves",
        "blender_scripts/views.py",
        '"seed": self._seeds[half]',
        '"seed": self._seeds[0]',
        "tests/test_light_field.py::test_samples_are_views_and_the_sharp_picture_has_half_as_many",
    ),
    Fault(
        "view-taken-twice-after-a-stop",
        "blender_scripts/views.py",
        'self.views = int(state["views"])',
        'self.views = int(state["views"]) - 1',
        "tests/test_light_field.py::test_stopped_light_field_goes_on_to_the_same_bytes",
    ),
    Fault(
        "sensor-that-does-not-stay-on-the-middle",
        "blender_scripts/rendering.py",
        "camera.shift_y * longer + down",
        "camera.shift_y * longer - down",
        "tests/test_blender.py::test_a_light_field_gives_the_pictures_of_cycles_lens",
    ),
    Fault(
        "solids-closed-where-they-are-not-cut",
        "blender_scripts/slices.py",
        "is_open = hits[i].is_back & (hits[i].identity > 0.0)",
        "is_open = hits[i].identity > 0.0",
        "tests/test_blender_parts.py::test_only_the_inside_of_what_is_in_front_is_closed",
    ),
    Fault(
        "small-lamps-that-chalk-sees",
        "blender_scripts/procedural/materials.py",
        'nodes.math("SUBTRACT", 1.0, ray["Is Diffuse Ray"])',
        'nodes.math("SUBTRACT", 1.0, ray["Is Shadow Ray"])',
        "tests/test_blender.py::test_small_lamps_are_seen_whole_reflected_dimmed_and_light_nothing",
    ),
    Fault(
        "layers-over-without-the-density-of-a-slant",
        "renderers/classical/layers_over.py",
        "return np.maximum(full, np.float32(_EPSILON))",
        "return np.full_like(full, full.max())",
        "tests/test_layers_over.py::test_a_slanted_layer_of_one_colour_stays_so",
    ),
    Fault(
        "layers-over-whose-light-is-shared-with-too-few",
        "renderers/classical/layers_over.py",
        "window = np.ones((2 * int(bank.reach.max()) + 1,) * 2, np.uint8)",
        "window = np.ones((int(bank.reach.max()) + 1,) * 2, np.uint8)",
        "tests/test_layers_over.py::test_the_light_of_a_thing_is_shared_with_all_that_reaches_its_pixels",
    ),
    Fault(
        "layers-over-that-hide-nothing",
        "renderers/classical/layers_over.py",
        "transmittance[around] *= 1.0 - blurred[..., 3:]",
        "transmittance[around] *= 1.0 - 0.5 * blurred[..., 3:]",
        "tests/test_layers_over.py::test_what_two_half_planes_let_through_is_multiplied",
    ),
    Fault(
        "layers-over-whose-backward-forgets-the-density",
        "renderers/differentiable/layers_over.py",
        "        grad = grad_outputs[0] / full\n",
        "        grad = grad_outputs[0]\n",
        "tests/test_layers_over.py::test_gradients_of_colour_and_alpha_agree_with_finite_differences "
        "tests/test_layers_over.py::test_the_backward_is_the_transpose_of_the_forward",
    ),
    Fault(
        "layers-over-whose-texels-share-nothing",
        "renderers/differentiable/layers_over.py",
        "of_defocus = (premultiplied * slope[:, :4]).sum(dim=1, keepdim=True) - slope[:, 4:]",
        "of_defocus = (premultiplied * slope[:, :4]).sum(dim=1, keepdim=True)",
        "tests/test_layers_over.py::test_the_gradient_of_the_defocus_agrees_with_kernels_on_both_sides_of_it",
    ),
    Fault(
        "light-that-a-cut-doubles",
        "renderers/classical/layers_over.py",
        "np.where(repeats, np.float32(_REPEATED), np.float32(1.0))",
        "np.where(repeats, np.float32(1.0), np.float32(1.0))",
        "tests/test_reveal0.py::test_a_light_beside_a_cut_has_the_light_that_it_had",
    ),
    Fault(
        "reveal0-that-continues-no-plane",
        "renderers/layering/reveal0.py",
        "slopes[q, 0], slopes[q, 1] = _slope(disparity, seen, qy, qx)",
        "slopes[q, 0], slopes[q, 1] = 0.0, 0.0",
        "tests/test_reveal0.py::test_what_is_hidden_of_a_slope_goes_on_as_its_plane",
    ),
    Fault(
        "reveal0-that-tears-what-is-noisy",
        "renderers/layering/reveal0.py",
        "if noise > 1e-4 * span:",
        "if noise < 0.0:",
        "tests/test_reveal0.py::test_noise_of_the_disparity_tears_no_surface",
    ),
    Fault(
        "reveal0-that-keeps-blurred-edges",
        "renderers/layering/reveal0.py",
        "_SHARP = 0.7",
        "_SHARP = 0.0",
        "tests/test_reveal0.py::test_an_edge_that_is_blurred_in_the_disparity_is_made_sharp",
    ),
    Fault(
        "reveal0-that-believes-every-edge",
        "renderers/layering/reveal0.py",
        "_CLEARLY = 1.3",
        "_CLEARLY = 1e9",
        "tests/test_reveal0.py::test_edges_of_the_disparity_are_moved_to_those_of_the_picture",
    ),
    Fault(
        "reveal-whose-layers-lack-light",
        "renderers/neural/reveal/layers.py",
        " + seen * missing",
        "",
        "tests/test_reveal.py::test_projected_layers_are_the_picture_at_every_gamma_and_no_colour_is_below_0",
    ),
    Fault(
        "reveal-projected-at-one-gamma",
        "renderers/neural/reveal/inference.py",
        "self.layers.alpha, self.picture, gamma)",
        "self.layers.alpha, self.picture)",
        "tests/test_reveal.py::test_a_scene_is_the_picture_to_half_floats",
    ),
    Fault(
        "reveal-whose-hidden-colours-keep-the-light-of-rims",
        "renderers/neural/reveal/layers.py",
        "torch.where(is_seen, 0.0, now - torch.where(was_seen, colour, then))",
        "torch.zeros_like(colour)",
        "tests/test_reveal.py::test_what_is_hidden_follows_what_is_seen",
    ),
    Fault(
        "reveal-that-begins-with-random-changes",
        "renderers/neural/reveal/network.py",
        "nn.init.zeros_(self.head.weight)",
        "nn.init.normal_(self.head.weight)",
        "tests/test_reveal.py::test_before_it_is_trained_it_is_reveal0",
    ),
    Fault(
        "reveal-whose-tiles-show",
        "renderers/neural/reveal/network.py",
        "MULTIPLE), _REACH_PX, tile)",
        "MULTIPLE), MULTIPLE, tile)",
        "tests/test_reveal.py::test_tiles_do_not_show",
    ),
    Fault(
        "reveal-that-spills-what-is-behind",
        "renderers/neural/reveal/rims.py",
        "nearest_of(outer).of(in_front)",
        "nearest_of(outer).of(number)",
        "tests/test_reveal.py::test_a_pixel_beside_an_edge_knows_what_is_in_front_and_what_is_behind",
    ),
    Fault(
        "reveal-taught-that-all-in-between-is-in-front",
        "training/models/reveal.py",
        "front = 0.5 * (near + behind)",
        "front = behind",
        "tests/test_reveal.py::test_the_true_layers_say_what_is_in_front_and_what_is_behind",
    ),
    Fault(
        "reveal-that-learns-what-a-row-leaves-out",
        "training/models/reveal.py",
        "* self._shown) * self._learned",
        "* self._shown)",
        "tests/test_reveal.py::test_what_a_row_of_the_ablation_leaves_out_is_absent_at_inference",
    ),
    Fault(
        "reveal0-that-leaves-light-behind-edges",
        "renderers/layering/reveal0.py",
        "    unmix(linear, own, layers, number, beside)\n",
        "    # unmix(linear, own, layers, number, beside)\n",
        "tests/test_reveal0.py::test_light_of_a_pixel_on_an_edge_is_given_to_both_sides",
    ),
    # Faults of users, files and machines
    Fault(
        "a-header-is-not-looked-at",
        "scenes/decode.py",
        "if width * height > MEGAPIXELS_MAX / sample_bytes * 1e6:",
        "if width * height > MEGAPIXELS_MAX * 1e9:",
        "tests/test_decode.py::test_a_header_that_declares_too_much_costs_no_memory",
    ),
    Fault(
        "an-exr-is-made-straight-at-once",
        "scenes/decode.py",
        "_BAND_PX = 2**20",
        "_BAND_PX = 2**40",
        "tests/test_decode.py::test_a_picture_is_in_memory_about_twice_while_it_is_decoded",
    ),
    Fault(
        "a-fifo-is-waited-for",
        "runtime/files.py",
        "if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):",
        "if stat.S_ISDIR(os.fstat(file.fileno()).st_mode):",
        "tests/test_decode.py::test_what_is_no_file_is_refused_and_not_read",
    ),
    Fault(
        "large-pictures-are-decoded-at-once",
        "scenes/assets.py",
        "with one_large if is_large else nullcontext():",
        "with nullcontext():",
        "tests/test_assets.py::test_large_pictures_are_decoded_one_at_a_time",
    ),
    Fault(
        "an-extra-file-of-a-scene-is-kept",
        "datasets/bokehdata/writer.py",
        "    if unlisted_files(folder, entry):\n        return False\n",
        "",
        "tests/test_bokehdata.py::test_what_was_edited_is_made_again_or_named",
    ),
    Fault(
        "a-file-that-was-struck-out-is-not-missed",
        "datasets/bokehdata/writer.py",
        "return needed <= entry.files.keys() and summary",
        "return summary",
        "tests/test_bokehdata.py::test_what_was_edited_is_made_again_or_named",
    ),
    Fault(
        "an-asset-is-not-checked",
        "datasets/bokehdata/kinds/billboards.py",
        "            lambda: _require_assets(self),\n",
        "",
        "tests/test_verify.py::test_every_defect_of_a_writer_is_found",
    ),
    Fault(
        "a-signal-raises-during-the-imports",
        "runtime/command.py",
        "    os._exit(128 + number)",
        "    raise KeyboardInterrupt",
        "tests/test_interrupts.py::test_a_signal_during_the_imports_ends_a_command_in_one_line",
    ),
    Fault(
        "names-keep-their-line-breaks",
        "runtime/command.py",
        "c if c.isprintable() else",
        "c if c else",
        "tests/test_interrupts.py::test_names_in_messages_have_no_control_characters",
    ),
    Fault(
        "weights-may-hold-nan",
        "renderers/neural/checkpoints.py",
        "if value.is_floating_point() and not torch.isfinite(value).all():",
        "if value.is_floating_point() and not value.numel():",
        "tests/test_neural.py::test_bad_weights_are_one_line_without_advice_to_run_them",
    ),
    Fault(
        "a-checkpoint-of-another-network-goes-on",
        "training/train.py",
        "if is_whole and shapes ==",
        "if is_whole or shapes ==",
        "tests/test_training.py::test_a_broken_file_of_a_run_is_named",
    ),
    Fault(
        "the-silence-ends-with-the-first-thread",
        "runtime/silence.py",
        "            self._depth -= 1\n            if self._depth == 0:",
        "            self._depth -= 1\n            if self._depth >= 0:",
        "tests/test_interrupts.py::test_the_silence_ends_when_the_last_thread_leaves_it",
    ),
    # Views as data
    Fault(
        "refocusing-moves-views-the-other-way",
        "datasets/bokehdata/kinds/light_field.py",
        "return signed_defocus_px(focus_disparity, self.blur_parameter, self.disparity) *",
        "return signed_defocus_px(self.disparity, self.blur_parameter, focus_disparity) *",
        "tests/test_light_field_folder.py::test_refocused_views_are_the_picture_of_any_lens_within_the_aperture",
    ),
    Fault(
        "rows-of-views-are-columns",
        "datasets/bokehdata/kinds/light_field.py",
        "np.array([self.positions[column], self.positions[row]])",
        "np.array([self.positions[row], self.positions[column]])",
        "tests/test_light_field_folder.py::test_refocused_views_are_the_picture_of_any_lens_within_the_aperture",
    ),
    Fault(
        "small-apertures-take-all-views",
        "datasets/bokehdata/kinds/light_field.py",
        " * self.blur_parameter / lens.blur_parameter\n",
        "\n",
        "tests/test_light_field_folder.py::test_views_of_plain_light_stay_as_bright_as_they_are",
    ),
    Fault(
        "views-need-not-make-the-stack",
        "datasets/bokehdata/kinds/light_field.py",
        "allowed = 2.0 *",
        "allowed = 2000.0 *",
        "tests/test_light_field_folder.py::test_a_picture_of_another_focus_is_found",
    ),
    Fault(
        "depth-of-a-view-may-be-anything",
        "datasets/bokehdata/kinds/light_field.py",
        "_LEAST_AGREEMENT = 0.5\n",
        "_LEAST_AGREEMENT = 0.0\n",
        "tests/test_light_field_folder.py::test_defects_of_a_light_field_are_found",
    ),
    Fault(
        "kept-views-from-the-opposite-lens-point",
        "blender_scripts/production.py",
        '"camera_m": (grid.lens_radius_m * point).tolist()',
        '"camera_m": (-grid.lens_radius_m * point).tolist()',
        "tests/test_blender.py::test_kept_views_are_seen_from_their_lens_points_and_go_on_after_a_kill",
    ),
    Fault(
        "samples-of-kept-views-depend-on-what-was-rendered-before",
        "blender_scripts/production.py",
        'request["sequence"] = VIEWS_MAX',
        'request["sequence"] = sampling.samples or VIEWS_MAX',
        "tests/test_blender.py::test_kept_views_are_seen_from_their_lens_points_and_go_on_after_a_kill",
    ),
    Fault(
        "empty-background-in-focus",
        "blender_scripts/focus.py",
        "disparity_extent(disparity[is_surface])",
        "disparity_extent(disparity)",
        "tests/test_blender_parts.py::test_a_background_beyond_the_focus_has_the_largest_radius",
    ),
    Fault(
        "largest-radius-between-focus-planes-alone",
        "blender_scripts/production.py",
        "reach = max(high - far, near - low)",
        "reach = near - far",
        "tests/test_blender_parts.py::test_a_background_beyond_the_focus_has_the_largest_radius",
    ),
    Fault(
        "walls-of-a-room-are-a-sky",
        "blender_scripts/surroundings.py",
        "nearest > _SKY_DISTANCE * farthest",
        "nearest > 0.0",
        "tests/test_blender.py::test_boxes_and_domes_around_the_camera_are_skies_and_the_walls_of_a_room_are_not",
    ),
    Fault(
        "ground-is-the-subject",
        "blender_scripts/surroundings.py",
        "_STAGE_SIZE = 3.0",
        "_STAGE_SIZE = 1e6",
        "tests/test_blender.py::test_a_camera_for_a_file_without_one_fits_the_subject_into_the_picture",
    ),
    # Pages
    Fault(
        "plots-of-another-region",
        "evaluation/page.py",
        "error_versus_time(document, region)",
        "error_versus_time(document)",
        "tests/test_report.py::test_plots_follow_the_region",
    ),
    Fault(
        "arrows-of-a-slider-lost",
        "datasets/bokehdata/view.html",
        'sideways ? "input" : "#across, #down"',
        '"input"',
        "tests/test_view.py::test_every_key_of_the_page_works_while_a_slider_has_the_focus",
    ),
    # Commands
    Fault(
        "empty-dataset-is-whole",
        "datasets/bokehdata/verify.py",
        "if not dataset.paths and not problems:",
        "if False:",
        "tests/test_verify.py::test_a_folder_without_scenes_is_an_error",
    ),
    Fault(
        "largest-radius-of-the-farthest-alone",
        "bokehforge/render.py",
        "reach = max(max(abs(low - focus), abs(high - focus)) for focus in focuses)",
        "reach = max(max(abs(low - focus), 0.0) for focus in focuses)",
        "tests/test_render_command.py::test_the_largest_blur_radius_is_what_was_asked_for",
    ),
    Fault(
        "largest-radius-not-divided-by-the-span",
        "bokehforge/render.py",
        "blur_parameter = options.max_radius / reach",
        "blur_parameter = options.max_radius",
        "tests/test_render_command.py::test_the_largest_blur_radius_is_what_was_asked_for",
    ),
    Fault(
        "focus-is-not-shifted-with-the-map",
        "bokehforge/render.py",
        "[focus - shift for focus in focuses]",
        "list(focuses)",
        "tests/test_render_command.py::test_only_differences_of_disparity_count",
    ),
    Fault(
        "sensor-in-millimetres",
        "bokehforge/render.py",
        "options.sensor_width / 1000.0",
        "options.sensor_width",
        "tests/test_render_command.py::test_depth_and_f_number_are_a_camera",
    ),
    Fault(
        "integer-depth-in-metres",
        "bokehforge/maps.py",
        "depth_m / np.float32(1000.0)",
        "depth_m / np.float32(1.0)",
        "tests/test_render_command.py::test_depth_and_f_number_are_a_camera",
    ),
    Fault(
        "the-turn-of-a-photograph-is-kept-beside-its-upright-pixels",
        "bokehforge/photograph.py",
        "exif.pop(EXIF_ORIENTATION, None)",
        "exif.pop(0, None)",
        "tests/test_render_command.py::test_profile_and_exif_are_kept_and_the_picture_is_upright",
    ),
    Fault(
        "highlights-are-not-raised",
        "datasets/bokehdata/images.py",
        "return expanded(display, expand_highlights) if expand_highlights else display",
        "return display",
        "tests/test_render_command.py::test_highlights_are_raised_before_the_blur",
    ),
    Fault(
        "files-of-a-command-are-not-part-of-it",
        "evaluation/external.py",
        "files = command_files(shlex.split(self.target))",
        "files = []",
        "tests/test_benchmark.py::test_a_command_is_measured_again_when_its_script_changes",
    ),
    Fault(
        "relative-imports-are-not-followed",
        "evaluation/closure.py",
        "yield from _relative(node, path)",
        "pass",
        "tests/test_benchmark.py::test_a_plug_in_imports_what_lies_beside_it_and_is_measured_again_when_that_changes",
    ),
    Fault(
        "fresh-takes-old-rows",
        "evaluation/run.py",
        "        if self.fresh:\n            return False\n",
        "",
        "tests/test_benchmark.py::test_fresh_measures_again_what_is_there",
    ),
    Fault(
        "success-of-another-run-counts",
        "evaluation/benchmark.py",
        "all(spec.name in measured for spec in specs)",
        "measured",
        "tests/test_benchmark.py::test_a_renderer_that_always_fails_is_left_out_early_and_is_the_exit_code",
    ),
    Fault(
        "differences-of-the-other-sign",
        "evaluation/tables.py",
        "part.scenes.difference(part.values(name, metric, region), part.values(reference, metric, region))",
        "part.scenes.difference(part.values(reference, metric, region), part.values(name, metric, region))",
        "tests/test_report.py::test_differences_from_one_renderer_are_shown_by_level",
    ),
    Fault(
        "a-resumed-run-counts-from-nothing",
        "training/callbacks.py",
        "done=trainer.global_step)",
        "done=0)",
        "tests/test_training.py::test_progress_counts_the_steps_of_the_whole_run_and_shows_the_loss",
    ),
    Fault(
        "sigterm-ends-a-training-as-if-it-were-done",
        "training/callbacks.py",
        "        signal.signal(signal.SIGTERM, self._ask)\n",
        "        pass\n",
        "tests/test_training.py::test_a_signal_leaves_a_checkpoint_to_go_on_from",
    ),
    Fault(
        "sigterm-kills-those-that-make-samples",
        "training/data.py",
        "for number in (signal.SIGINT, signal.SIGTERM):",
        "for number in (signal.SIGINT,):",
        "tests/test_training.py::test_a_signal_leaves_a_checkpoint_to_go_on_from",
    ),
    Fault(
        "a-finished-run-runs-again",
        "training/train.py",
        "_steps_done(checkpoint, training) >= steps and",
        "_steps_done(checkpoint, training) > steps and",
        "tests/test_training.py::test_a_finished_run_asked_for_again_is_not_run",
    ),
    Fault(
        "time-left-counts-what-was-there",
        "runtime/progress.py",
        "/ (self._done - self._before)",
        "/ self._done",
        "tests/test_progress.py",
    ),
    Fault(
        "a-traced-picture-in-linear-light",
        "bokehforge/api.py",
        "display_from_linear(render.linear[0], gamma)",
        "render.linear[0]",
        "tests/test_api.py::test_a_traced_edge_is_the_cumulative_of_the_disk",
    ),
    Fault(
        "layers-without-their-straight-alpha",
        "datasets/bokehdata/images.py",
        "half = _as_half(path, premultiplied(part.rgba))",
        "half = _as_half(path, part.rgba)",
        "tests/test_layers_command.py::test_compositors_get_a_part_for_the_picture_and_for_each_layer",
    ),
    Fault(
        "layers-that-appear-before-they-are-whole",
        "datasets/bokehdata/kinds/layers.py",
        "    aside = unfinished(path)\n",
        "    aside = path\n",
        "tests/test_layers_command.py::test_an_interrupted_run_leaves_nothing",
    ),
    Fault(
        "layers-whose-files-are-not-checked",
        "datasets/bokehdata/kinds/layers.py",
        "if found != sha256:",
        "if found is None:",
        "tests/test_layers_command.py::test_a_damaged_folder_is_named",
    ),
    Fault(
        "layers-that-forget-their-shift",
        "datasets/bokehdata/kinds/layers.py",
        '"disparity_shift": float(photograph.disparity_shift)',
        '"disparity_shift": 0.0',
        "tests/test_layers_command.py::test_a_map_below_0_has_its_own_disparities",
    ),
    Fault(
        "layers-moved-the-wrong-way",
        "bokehforge/render.py",
        "shifted(layers, -shift)",
        "shifted(layers, shift)",
        "tests/test_layers_command.py::test_a_map_below_0_has_its_own_disparities",
    ),
    Fault(
        "layers-for-any-reach",
        "bokehforge/layers.py",
        "(linear, given.disparity, reach_px=reach_px, **own)",
        "(linear, given.disparity, **own)",
        "tests/test_layers_command.py::test_layers_are_made_for_the_reach_that_is_asked_for",
    ),
    Fault(
        "a-page-that-shows-the-layer-in-front",
        "datasets/bokehdata/layers_view.py",
        "layers.layers[number:]",
        "layers.layers",
        "tests/test_layers_command.py::test_the_page_shows_what_is_behind_every_layer",
    ),
    Fault(
        "planes-of-what-is-transparent",
        "scenes/planes.py",
        "np.nonzero(layer.rgba[..., 3] > 0.0)",
        "np.nonzero(layer.rgba[..., 3] >= 0.0)",
        "tests/test_planes.py::test_what_is_transparent_need_not_be_a_plane",
    ),
    Fault(
        "planes-with-a-tolerance-in-disparity",
        "scenes/planes.py",
        "if off_px[worst] > tolerance_px:",
        "if off_px[worst] / per_disparity_px > tolerance_px:",
        "tests/test_planes.py::test_a_layer_that_is_no_plane_is_named_with_what_it_lacks",
    ),
    Fault(
        "planes-at-the-corner-of-the-frame",
        "scenes/planes.py",
        "x + 0.5 - layers.overscan - layers.width / 2",
        "x + 0.5 - layers.overscan",
        "tests/test_planes.py::test_slanted_billboards_come_back_as_they_were",
    ),
    Fault(
        "planes-that-are-not-widened",
        "scenes/planes.py",
        "        overscan = needed\n",
        "        return needed - layers.overscan\n",
        "tests/test_planes.py::test_layers_are_widened_as_far_as_rays_go",
    ),
    Fault(
        "phones-whose-near-is-far",
        "datasets/bokehdata/embedded.py",
        "disparity = _between(value, 1.0 / near, 1.0 / far)",
        "disparity = _between(value, 1.0 / far, 1.0 / near)",
        "tests/test_phone_depth.py::test_gdepth_of_even_steps_of_inverse_depth",
    ),
    Fault(
        "phones-in-millimetres",
        "datasets/bokehdata/embedded.py",
        '"mm": 1e-3',
        '"mm": 1.0',
        "tests/test_phone_depth.py::test_gdepth_of_even_steps_of_depth_in_millimetres",
    ),
    Fault(
        "phones-that-lie-on-their-side",
        "datasets/bokehdata/embedded.py",
        "return EmbeddedDepth(upright(disparity, orientation_of(path)), metres is not None, kind)",
        "return EmbeddedDepth(disparity, metres is not None, kind)",
        "tests/test_phone_depth.py::test_a_map_is_turned_as_its_photograph_is",
    ),
    Fault(
        "containers-without-padding",
        "datasets/bokehdata/embedded.py",
        ' - int(properties.get(space + "Padding", 0))',
        "",
        "tests/test_phone_depth.py::test_dynamic_depth_is_found_behind_the_photograph",
    ),
    Fault(
        "models-of-blue-green-and-red",
        "bokehforge/estimated.py",
        "normalized.transpose(2, 0, 1)[None]",
        "normalized.transpose(2, 0, 1)[None, ::-1]",
        "tests/test_estimated_depth.py::test_channels_are_red_green_and_blue",
    ),
    Fault(
        "models-that-are-not-normalized",
        "bokehforge/estimated.py",
        "(given - np.array(mean, np.float32)) / np.array(std, np.float32)",
        "given - np.array(mean, np.float32)",
        "tests/test_estimated_depth.py::test_a_model_of_the_picture_s_size_gets_the_normalized_picture",
    ),
    Fault(
        "dual-pixel-views-that-are-swapped",
        "scenes/dual_pixel.py",
        'first = -math.pi / 2.0 if self.side == "right" else math.pi / 2.0',
        'first = -math.pi / 2.0 if self.side == "left" else math.pi / 2.0',
        "tests/test_dual_pixel.py::test_a_point_of_light_is_half_a_disc_upright_behind_the_focus_and_turned_in_front",
    ),
    Fault(
        "dual-pixel-halves-of-equal-light",
        "scenes/dual_pixel.py",
        "return half(aperture, side).area / aperture.area",
        "return 0.5",
        "tests/test_dual_pixel.py::test_the_light_of_the_halves_is_that_of_the_whole",
    ),
    Fault(
        "dual-pixel-views-that-nobody-compares",
        "datasets/bokehdata/kinds/billboards.py",
        "if stack.dual_pixel and not setting.half:",
        "if stack.dual_pixel and setting.half is None:",
        "tests/test_dual_pixel.py::test_a_view_that_is_not_its_half_is_a_problem",
    ),
    Fault(
        "dual-pixel-views-among-the-pictures",
        "datasets/bokehdata/folder.py",
        "if not setting.half]",
        "if True]",
        "tests/test_dual_pixel.py::test_views_are_no_pictures_of_the_stack",
    ),
    Fault(
        "onnx-for-even-sizes-only",
        "renderers/neural/onnx_export.py",
        '"height": 35, "width": 37,',
        '"height": 36, "width": 38,',
        "tests/test_onnx.py::test_onnxruntime_computes_what_torch_does",
    ),
    Fault(
        "onnx-of-one-size",
        "renderers/neural/onnx_export.py",
        "dynamic_axes={port.name: port.free for port in ports},",
        "dynamic_axes={},",
        "tests/test_onnx.py::test_onnxruntime_computes_what_torch_does",
    ),
    Fault(
        "a-division-that-onnx-rounds-the-other-way",
        "renderers/neural/layers.py",
        "(max(side, least) + multiple - 1) // multiple * multiple",
        "-(-max(side, least) // multiple) * multiple",
        "tests/test_onnx.py::test_onnxruntime_computes_what_torch_does",
    ),
    Fault(
        "a-licence-for-the-weights-of-others",
        "renderers/neural/onnx_export.py",
        "if weights.is_relative_to(FOLDER) else {}",
        "if weights else {}",
        "tests/test_onnx.py::test_weights_of_one_s_own_are_exported_without_a_licence_of_ours",
    ),
    Fault(
        "defocus-that-the-page-does-not-clip",
        "docs/onnx_demo/bokehme.js",
        "(s) => Math.min(Math.max(s, -1), 1)",
        "(s) => s",
        "tests/test_onnx_demo.py::test_what_surrounds_the_networks_is_that_of_python",
    ),
    Fault(
        "a-page-that-rounds-as-javascript-does",
        "docs/onnx_demo/bokehme.js",
        "x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)",
        "Math.round(x)",
        "tests/test_onnx_demo.py::test_what_surrounds_the_networks_is_that_of_python",
    ),
    Fault(
        "studio-for-every-host",
        "bokehforge/studio/server.py",
        "if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0]):",
        "if len(hosts) != 1:",
        "tests/test_studio.py::test_another_host_or_origin_is_refused",
    ),
    Fault(
        "studio-for-every-origin",
        "bokehforge/studio/server.py",
        'return all(origin == f"http://{hosts[0]}" for origin in origins)',
        "return True",
        "tests/test_studio.py::test_another_host_or_origin_is_refused",
    ),
    Fault(
        "studio-that-reads-any-file-as-an-aperture",
        "bokehforge/studio/pictures.py",
        "        require_aperture(settings.aperture, allowed_file)\n",
        "",
        "tests/test_studio.py::test_a_request_that_makes_no_sense_is_told_what_is_wrong",
    ),
    Fault(
        "studio-clicks-mirrored",
        "bokehforge/studio/page.js",
        "scene.map[Math.floor(y * height) * width + Math.floor(x * width)]",
        "scene.map[Math.floor(y * height) * width + width - 1 - Math.floor(x * width)]",
        "tests/test_studio.py::test_what_is_clicked_becomes_sharp_and_the_rest_blurred",
    ),
    Fault(
        "preview-near-to-far",
        "bokehforge/studio/preview.js",
        "of this.layers.toReversed()",
        "of this.layers",
        "tests/test_studio.py::test_the_preview_agrees_with_the_exact_picture",
    ),
    Fault(
        "preview-turned",
        "bokehforge/studio/preview.js",
        "vec2 where = place(at + ",
        "vec2 where = place(at - ",
        "tests/test_studio.py::test_the_preview_agrees_with_the_exact_picture",
    ),
    Fault(
        "preview-with-gaps-along-cuts",
        "bokehforge/studio/layers.py",
        "return subject.layers if lens.is_pinhole else subject.layers.for_lens(lens)",
        "return subject.layers",
        "tests/test_studio.py::test_the_preview_shows_no_gap_where_a_surface_is_cut",
    ),
    Fault(
        "wipe-of-the-same-picture",
        "bokehforge/studio/page.js",
        'if (isWiping()) askFor("right", $("against").value);',
        'if (isWiping()) askFor("right", $("renderer").value);',
        "tests/test_studio.py::test_the_wipe_has_each_method_on_its_side",
    ),
    Fault(
        "sweeps-that-stand-still",
        "bokehforge/studio/server.py",
        "replace(settings, focus=float(focus))",
        "settings",
        "tests/test_studio.py::test_a_sweep_goes_from_the_far_wall_to_the_near_disk_and_back",
    ),
    Fault(
        "older-requests-answered-too",
        "bokehforge/studio/latest.py",
        "        if (older := self._waiting.pop(key, None)) is not None:\n            _supersede(older)\n",
        "",
        "tests/test_latest.py::test_of_one_key_the_newest_request_is_answered",
    ),
    Fault(
        "workers-that-are-never-ended",
        "bokehforge/studio/latest.py",
        "            self._worker.end()\n",
        "            pass\n",
        "tests/test_latest.py::test_a_picture_that_nobody_waits_for_is_ended_after_a_while",
    ),
    Fault(
        "archives-of-the-sharp-picture-twice",
        "datasets/bokehdata/cases.py",
        'path = self.folder.path / {"image": image, "truth": truth,',
        'path = self.folder.path / {"image": image, "truth": image,',
        "tests/test_shards.py::test_an_archive_gives_the_cases_of_the_dataset_to_the_bit",
    ),
    Fault(
        "archives-without-shapes-of-apertures",
        "datasets/bokehdata/shards/packed.py",
        "aperture=aperture_from(aperture)",
        'aperture=aperture_from({"shape": "disk"})',
        "tests/test_shards.py::test_an_archive_gives_the_cases_of_the_dataset_to_the_bit",
    ),
    Fault(
        "tar-files-with-a-time",
        "datasets/bokehdata/shards/webdataset.py",
        "member.size = len(data)",
        "member.size, member.mtime = len(data), 1",
        "tests/test_shards.py::test_tar_files_are_those_of_webdataset",
    ),
    Fault(
        "shards-that-stay-short",
        "datasets/bokehdata/shards/writing.py",
        'or (end < len(cases) and not shard["is_full"])',
        "",
        "tests/test_shards.py::test_equal_data_make_equal_bytes_however_often_it_was_stopped",
    ),
    Fault(
        "imports-with-light-below-zero",
        "datasets/bokehdata/kinds/imported.py",
        "return np.clip(linear, 0.0, HALF_MAX)",
        "return np.minimum(linear, HALF_MAX)",
        "tests/test_importing.py::test_a_folder_of_blb_becomes_a_dataset_that_is_whole",
    ),
    Fault(
        "imports-that-guess-a-lens",
        "datasets/bokehdata/cases.py",
        "return None if math.isnan(value) else value",
        "return 0.0 if math.isnan(value) else value",
        "tests/test_importing.py::test_pairs_become_a_dataset_without_a_lens",
    ),
    Fault(
        "sheets-that-keep-what-has-changed",
        "datasets/bokehdata/sheets.py",
        'if told.pop("digest") != digest:',
        'if told.pop("digest") is None:',
        "tests/test_sheets.py::test_a_scene_that_changed_is_made_anew",
    ),
    Fault(
        "sheets-that-lead-back-to-their-begin",
        "datasets/bokehdata/view.html",
        "const name = SHEETS?.[sheet + by]?.[by < 0 ? 1 : 0];",
        "const name = SHEETS?.[sheet + by]?.[0];",
        "tests/test_sheets.py::test_an_address_leads_to_any_scene_and_its_neighbours_are_those_of_the_data",
    ),
    Fault(
        "searches-that-forget-the-real-lens",
        "datasets/bokehdata/cases.py",
        "if lens.blur_parameter == self.blur_parameter and (real",
        "if blur_parameter is None and (real",
        "tests/test_real_lens_scenes.py::test_a_scene_is_traced_through_every_lens_to_be_swapped",
    ),
    Fault(
        "dual-pixel-views-of-the-truth-alone",
        "datasets/bokehdata/cases.py",
        "seen = self.input_setting or self.setting",
        "seen = self.setting",
        "tests/test_dual_pixel.py::test_a_recipe_like_dpdd_has_views_of_its_input",
    ),
]


if __name__ == "__main__":
    raise SystemExit(main())
