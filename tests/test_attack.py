"""Attacks through a depth map keep to their bounds and raise the loss; classifiers are torchvision's; rows resume."""

import copy
import csv
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from bokehdata.format import DatasetError
from bokehdata.images import read_png
from bokehdata.labelled import open_labelled
from bokehforge.attack import main
from bokehforge.attack_tables import tables
from bokehforge.estimated import IMAGENET_MEAN, IMAGENET_STD
from inverse.attacks import classifiers
from inverse.attacks.classifiers import OBJECTS, classifier, load_torchvision
from inverse.attacks.measuring import Bench, Subject, label_of
from inverse.attacks.networks import SMALL, TORCHVISION, DenseNet
from inverse.attacks.pgd import EPS, METHODS, Attack, attacked_depth, background_of, box_mean, window_for
from inverse.attacks.through import THROUGH, through
from raytrace import gen
from renderers import RENDERERS
from renderers.base import RendererError
from renderers.neural.cocnet.inference import relative_depth
from renderers.neural.cocnet.network import CoCNet
from renderers.neural.tensors import picture_from_tensor
from scenes.lens import ThinLens

SIDE = 32


def render(image: Tensor, depth: Tensor) -> Tensor:
    """A renderer in a line: what is farther is more blurred."""
    return image + depth * (box_mean(image, 7) - image)


@pytest.fixture(scope="module")
def phi() -> torch.nn.Sequential:
    """A small classifier of random weights."""
    torch.manual_seed(1)
    layers = torch.nn.Sequential(
        *(torch.nn.Conv2d(3, 8, 5, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(3), torch.nn.Flatten()),
        torch.nn.Linear(72, 4),
    )
    return layers.requires_grad_(False)


def pictures(count: int) -> tuple[Tensor, Tensor]:
    """Pictures, and depths with a near disk in front of a far slope."""
    generator = torch.Generator().manual_seed(2)
    image = F.interpolate(torch.rand(count, 3, 8, 8, generator=generator), (SIDE, SIDE), mode="bilinear")
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    disk = ((x - 16) ** 2 + (y - 16) ** 2 < 81).float()
    return image, (0.7 + 0.3 * y / (SIDE - 1)).expand(count, 1, SIDE, SIDE) * (1.0 - disk)


# What an attack may change


@pytest.mark.parametrize("method", METHODS)
def test_without_room_nothing_changes_by_a_bit(method, phi):
    image, depth = pictures(1)
    moved = attacked_depth(partial(render, image), phi, depth, torch.tensor([0]), Attack(method, eps=0.0, steps=3))
    assert torch.equal(moved, depth) and torch.equal(render(image, moved), render(image, depth))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("random_start", [False, True])
def test_a_depth_moves_by_eps_at_most_and_stays_a_depth(method, random_start, phi):
    image, depth = pictures(2)
    attack = Attack(method, eps=0.02, steps=5, step_size=0.01, random_start=random_start)
    draw = lambda: torch.Generator().manual_seed(3)  # noqa: E731
    again = [
        attacked_depth(partial(render, image), phi, depth, torch.tensor([0, 1]), attack, generator=draw())
        for _ in range(2)
    ]
    change = again[0] - depth
    # A sum in float32 is rounded.
    assert 0.0 < change.abs().max() <= 0.02 + 1e-7
    assert again[0].min() >= 0.0 and again[0].max() <= 1.0
    assert torch.equal(*again)
    if method == "bg-gda":
        near = background_of(depth) == 0.0
        assert near.any() and torch.equal(again[0][near], depth[near])


def test_smoothing_leaves_less_variation_and_never_more_than_eps(phi):
    image, depth = pictures(1)
    # Away from the ends of [0, 1], where clipping would smooth what is not smooth.
    depth = 0.2 + 0.6 * depth
    moved = {
        method: attacked_depth(partial(render, image), phi, depth, torch.tensor([0]), Attack(method, 0.02, 10)) - depth
        for method in ("gda", "sm-gda")
    }
    variation = {m: float(d.diff(dim=2).abs().sum() + d.diff(dim=3).abs().sum()) for m, d in moved.items()}
    assert variation["sm-gda"] < 0.5 * variation["gda"]
    extreme = torch.where(torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0)) < 0.5, -1.0, 1.0)
    assert box_mean(extreme, 5).abs().max() <= 1.0 + 1e-6
    assert torch.allclose(box_mean(torch.ones(1, 1, 20, 20), 5), torch.ones(1))


def test_the_window_is_15_px_at_the_size_of_the_paper():
    assert window_for(299) == 15 and window_for(128) == 7 and window_for(16) == 3


def test_background_is_what_is_far():
    _, depth = pictures(1)
    assert torch.equal(background_of(depth), (depth > 0.35).float())
    assert torch.equal(background_of(depth, threshold=0.85), (depth > 0.85).float())


# What an attack does


@pytest.mark.parametrize("method", METHODS)
def test_nearly_every_attack_raises_the_loss(method, phi):
    image, depth = pictures(20)
    labels = torch.arange(20) % 4
    moved = attacked_depth(partial(render, image), phi, depth, labels, Attack(method, eps=0.05, steps=50))
    loss = [F.cross_entropy(phi(render(image, d).clamp(0, 1)), labels, reduction="none") for d in (depth, moved)]
    assert (loss[1] >= loss[0]).float().mean() >= 0.95 and loss[1].mean() > loss[0].mean()


def test_a_picture_is_attacked_as_it_is_alone(phi):
    image, depth = pictures(2)
    labels, attack = torch.tensor([0, 3]), Attack("gda", eps=0.02, steps=3)
    both = attacked_depth(partial(render, image), phi, depth, labels, attack)
    alone = attacked_depth(partial(render, image[1:]), phi, depth[1:], labels[1:], attack)
    # The sign of a slope of nearly 0 may turn with the rounding.
    assert ((both[1:] - alone).abs() > 1e-6).float().mean() < 0.01


def test_the_slope_of_the_loss_through_cocnet_is_that_of_finite_differences(phi):
    image, depth = (x.double() for x in pictures(1))
    torch.manual_seed(0)
    network = CoCNet(groups=1, width=4, depth=True).double().requires_grad_(False)
    logits = copy.deepcopy(phi).double()

    def loss(d: Tensor) -> Tensor:
        return F.cross_entropy(logits(network(image, d)), torch.tensor([1]))

    depth = (0.2 + 0.6 * depth).requires_grad_(True)
    (slope,) = torch.autograd.grad(loss(depth), depth)
    assert torch.isfinite(slope).all() and slope.abs().max() > 0.0
    direction = torch.randn(depth.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    # So small a step crosses the kink of few ReLUs.
    h = 1e-6
    with torch.no_grad():
        measured = float(loss(depth + h * direction) - loss(depth - h * direction)) / (2.0 * h)
    assert float((slope * direction).sum()) == pytest.approx(measured, rel=1e-3)


# Renderers


@pytest.mark.parametrize("name", ["drbokeh", "scatter"])
def test_a_physical_renderer_is_attacked_through_its_lens(name, phi):
    image, depth = pictures(1)
    disparity = 2.0 - 1.5 * depth
    physical = through(name)
    found, refocus = physical.of(image, disparity, [ThinLens(3.0, float(disparity.max()))])
    assert torch.allclose(found, relative_depth(disparity))
    # What is in focus stays; what is behind it is blurred.
    change = (refocus(found) - image).abs().mean((0, 1))
    assert change[13:19, 13:19].max() < 0.1 < change[24:].max()
    moved = attacked_depth(refocus, phi, found, torch.tensor([0]), Attack("gda", physical.eps("gda"), steps=2))
    assert 0.0 < (moved - found).abs().max() <= physical.eps("gda") + 1e-7
    with pytest.raises(RendererError, match="needs the lens"):
        physical.of(image, disparity, None)


@pytest.mark.parametrize("name", ["drbokeh", "scatter"])
def test_a_depth_that_is_not_changed_is_rendered_at_the_true_lens(name):
    """As the renderers of the benchmark do, which are given the disparity in the unit of its lens."""
    image, depth = pictures(1)
    disparity, lens = 2.0 - 1.5 * depth, ThinLens(3.0, 1.1)
    found, refocus = through(name).of(image, disparity, [lens])
    planes = picture_from_tensor(image), picture_from_tensor(disparity)[..., 0]
    expected = RENDERERS["drbokeh-single" if name == "drbokeh" else "scatter"](*planes, lens)
    inside = (slice(6, -6), slice(6, -6))
    error = np.abs(picture_from_tensor(refocus(found)) - expected)[inside]
    assert error.mean() < 0.1 * np.abs(planes[0] - expected)[inside].mean()


@pytest.mark.parametrize("name", ["drbokeh", "scatter"])
def test_an_attack_through_a_lens_raises_the_loss(name, phi):
    image, depth = pictures(4)
    found, refocus = through(name).of(image, 1.0 - depth, [ThinLens(6.0, 0.0)] * 4)
    labels = torch.arange(4)
    moved = attacked_depth(refocus, phi, found, labels, Attack("gda", through(name).eps("gda"), steps=6))
    loss = [F.cross_entropy(phi(refocus(d).clamp(0, 1)), labels, reduction="none") for d in (found, moved)]
    assert (loss[1] > loss[0]).all()


def test_a_network_may_render_larger_than_the_picture():
    """A network that has learned at 1024 px blurs pictures of 299 px too much (methods, 3.3)."""
    image, depth = pictures(1)
    side_px, sizes = 3 * SIDE, []
    network = through("cocnet-b3-less-depth", side_px=side_px)
    network.__dict__["_network"] = lambda picture, depth: sizes.append((picture.shape, depth.shape)) or picture
    found, render_larger = network.of(image, 1.0 - depth, None)
    shown = render_larger(found)
    assert sizes == [((1, 3, side_px, side_px), (1, 1, side_px, side_px))]
    assert shown.shape == image.shape and (shown - image).abs().mean() < 0.01


def test_physical_renderers_need_more_room_than_networks():
    for method in METHODS:
        assert through("scatter").eps(method) > through("cocnet-b3-less-depth").eps(method) == EPS[method]
    assert set(THROUGH) == {"cocnet-b3-depth", "cocnet-b3-less-depth", "drbokeh", "scatter"}
    with pytest.raises(RendererError, match="bokehme"):
        through("bokehme")


# Classifiers


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet18", 11_689_512),
        ("resnet50", 25_557_032),
        ("vgg16", 138_357_544),
        ("densenet121", 7_978_856),
        ("mobilenet_v2", 3_504_872),
    ],
)
def test_classifiers_have_the_parameters_that_torchvision_publishes(name, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in TORCHVISION[name]().parameters()) == parameters


@pytest.mark.parametrize("name", SMALL)
def test_small_classifiers_take_pictures_of_several_sizes(name):
    network = SMALL[name](len(OBJECTS)).eval()
    assert all(network.logits(torch.rand(1, 3, side, side)).shape == (1, 12) for side in (64, 96))


def test_all_that_an_attack_needs_comes_with_the_project():
    with torch.inference_mode():
        for name in SMALL:
            assert classifier(name).logits(torch.rand(1, 3, SIDE, SIDE)).shape == (1, len(OBJECTS))
        depth, render = through("cocnet-b3-less-depth").of(*pictures(1), lenses=None)
        assert render(depth).shape == (1, 3, SIDE, SIDE)


def test_the_weights_of_inverse_take_ten_megabytes_together():
    folder = Path(classifiers.__file__).parents[1]
    assert 5e6 < sum(path.stat().st_size for path in folder.rglob("*.safetensors")) <= 10 * 2**20


@pytest.mark.slow
def test_the_classifiers_that_ship_name_what_they_have_not_seen(tmp_path):
    assert gen.main(["--recipe", "objects", "--scenes", "60", "--seed", "77", "--out", str(tmp_path / "data")]) == 0
    cases = open_labelled(tmp_path / "data", required=True)
    for name in SMALL:
        judge = classifier(name)
        with torch.inference_mode():
            right = [label_of(case, judge) == case.label for case in cases]
        assert np.mean(right) > 0.8


def test_files_of_torchvision_load_and_others_are_refused(tmp_path):
    torch.manual_seed(0)
    make = partial(DenseNet, 10, growth=4, blocks=(2, 2), channels=8)
    saved, network = make(), make()
    state = {
        # As the file of 2017 names them, without counts of batches.
        key.replace("norm1", "norm.1").replace("conv2", "conv.2"): value
        for key, value in saved.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert any("norm.1" in key for key in state)
    torch.save(state, tmp_path / "densenet.pth")
    load_torchvision(network, tmp_path / "densenet.pth", "densenet121")
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(network.logits(x), saved.eval().logits(x))
    assert not any(p.requires_grad for p in network.parameters())
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(RendererError, match=r"other.pth: does not hold the weights of torchvision's densenet121"):
        load_torchvision(make(), tmp_path / "other.pth", "densenet121")


def test_torchvisions_classifiers_see_what_they_were_trained_on(tmp_path):
    """224 px, and the mean and deviation of ImageNet."""
    torch.manual_seed(0)
    network = TORCHVISION["resnet18"]()
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    judge, picture = classifier("resnet18", tmp_path / "resnet18.pth"), torch.rand(1, 3, 40, 40)
    enlarged = F.interpolate(picture, (224, 224), mode="bilinear", antialias=True)
    mean, deviation = (torch.tensor(c).view(1, 3, 1, 1) for c in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.inference_mode():
        expected = network.eval().logits((enlarged - mean) / deviation)
        torch.testing.assert_close(judge.logits(picture), expected, rtol=1e-4, atol=1e-4)


def test_a_users_classifier_may_fail_but_not_pass_by_unnoticed(tmp_path, monkeypatch):
    code = {
        "raises": "raise ValueError('of 224 px alone')",
        "rigid": "return x.detach().mean((2, 3))",
        "infinite": "return x.mean((2, 3)) / 0",
        "inside": "x -= 0.5; return x.mean((2, 3))",
    }
    (tmp_path / "theirs.py").write_text("".join(f"def {name}(x):\n    {body}\n" for name, body in code.items()))
    monkeypatch.chdir(tmp_path)
    picture = torch.full((1, 3, 4, 4), 0.75)
    for name, message in (
        ("raises", "fails for a picture 1x3x4x4 .ValueError: of 224 px alone"),
        ("rigid", "without a gradient"),
        ("infinite", "not finite"),
    ):
        with pytest.raises(RendererError, match=message):
            classifier(f"theirs.py:{name}").logits(picture.requires_grad_(True))
    picture = picture.detach()
    assert float(classifier("theirs.py:inside").logits(picture)[0, 0].detach()) == 0.25
    # The picture is that of all the others too.
    assert float(picture.min()) == 0.75
    for label in ("\u00b2", "01", "-1"):
        with pytest.raises(RendererError, match="numbers from 0"):
            classifier("theirs.py:inside").index(label)


def test_a_classifier_is_ours_torchvisions_or_a_callable(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def phi(x):\n    return x.mean((2, 3))\ndef wrong(x):\n    return x\n")
    monkeypatch.chdir(tmp_path)
    mine = classifier("mine:phi")
    assert mine.logits(torch.zeros(2, 3, 4, 4)).shape == (2, 3) and mine.index("2") == 2 and mine.label(2) == "2"
    with pytest.raises(RendererError, match=r"mine:wrong: returns \(2, 3, 4, 4\)"):
        classifier("mine:wrong").logits(torch.zeros(2, 3, 4, 4))
    for name, message in (
        ("mine:missing", "cannot be imported"),
        ("nowhere:phi", "cannot be imported"),
        ("resnet99", "no classifier 'resnet99'"),
        ("vgg16", "comes without weights"),
    ):
        with pytest.raises(RendererError, match=message):
            classifier(name)
    with pytest.raises(RendererError, match="does not know the label 'fern'"):
        mine.index("fern")


# Pictures with labels


def write_pictures(folder, names, size=(SIDE, SIDE)):
    (folder / "images").mkdir(parents=True)
    (folder / "disparity").mkdir()
    rng = np.random.default_rng(0)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / "images" / f"{name}.png")
        plane = np.linspace(0.2, 1.0, size[0], dtype=np.float32)[:, None].repeat(size[1], 1)
        np.save(folder / "disparity" / f"{name}.npy", plane)


def write_table(path, columns, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def test_the_development_set_of_nips_2017_counts_labels_from_1(tmp_path):
    write_pictures(tmp_path, ["0c7ac4a8c9dfa802", "f43fbfe8a9ea876c"])
    write_table(
        tmp_path / "images.csv",
        ["ImageId", "URL", "TrueLabel", "TargetClass"],
        [["0c7ac4a8c9dfa802", "", "306", "779"], ["f43fbfe8a9ea876c", "", "1", "2"]],
    )
    # Another table of the same set names the categories.
    write_table(tmp_path / "categories.csv", ["CategoryId", "CategoryName"], [["1", "tench"]])
    cases = open_labelled(tmp_path)
    assert [(case.name, case.label) for case in cases] == [("0c7ac4a8c9dfa802", "305"), ("f43fbfe8a9ea876c", "0")]
    assert cases[0].image().shape == (SIDE, SIDE, 3) and cases[0].disparity() is not None
    with pytest.raises(DatasetError, match="has no truth"):
        cases[0].truth()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["a", "fern"], ["b", ""]], "b: has no label"),
        ([["c.png", "fern"]], "there is no such picture"),
        ([], "lists no"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(rows, message, tmp_path):
    write_pictures(tmp_path, ["a", "b"])
    write_table(tmp_path / "labels.csv", ["name", "label"], rows)
    with pytest.raises(DatasetError, match=message):
        open_labelled(tmp_path)


# The command


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Two labelled pictures, weights of a network, and two small classifiers; all random."""
    write_pictures(tmp_path / "data", ["a", "b"])
    write_table(tmp_path / "data" / "labels.csv", ["name", "label"], [["a", "fern"], ["b.png", "vessel"]])
    torch.manual_seed(0)
    save_file(CoCNet(width=16, depth=True).state_dict(), tmp_path / "cocnet.safetensors")
    for name in ("resnet18-small", "densenet-small"):
        save_file(SMALL[name](len(OBJECTS)).state_dict(), tmp_path / f"{name}.safetensors")
    monkeypatch.setattr(classifiers, "WEIGHTS", tmp_path)
    return tmp_path


def arguments(folder, *more):
    return [
        *(
            "--data",
            str(folder / "data"),
            "--out",
            str(folder / "out"),
            "--weights",
            str(folder / "cocnet.safetensors"),
        ),
        *("--classifier", "resnet18-small,densenet-small", "--steps", "2", "--threads", "1", *more),
    ]


def test_the_command_makes_its_rows_once_and_both_tables(data, capsys):
    assert main(arguments(data, "--method", "gda", "--limit", "1")) == 0
    assert main(arguments(data, "--pictures", "1")) == 0
    lines = (data / "out" / "rows.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines[1:]]
    # Sharp, bokeh, and two classifiers by three methods, of two pictures.
    assert len(rows) == 2 * (2 + 6) == len({row["key"] for row in rows})
    assert [row["method"] for row in rows[:4]] == ["sharp", "bokeh", "gda", "gda"]
    assert all(row["said"].keys() == {"resnet18-small", "densenet-small"} for row in rows)
    assert rows[0]["to_sharp"]["psnr"] is None and rows[1]["to_bokeh"]["psnr"] is None
    text = (data / "out" / "tables.md").read_text()
    assert text.count("| `resnet18-small` | sharp |") == 1 and "| `densenet-small` | `resnet18-small` |" in text
    assert "0.923" in text and "(0.771)" in text
    html = (data / "out" / "attack.html").read_text()
    # One picture: two figures, and three for each of the attacks, for each classifier.
    assert html.count("<figure>") == 2 * (2 + 9) and "{{" not in html
    assert main(arguments(data, "--pictures", "1")) == 0
    assert (data / "out" / "rows.jsonl").read_text().splitlines() == lines
    capsys.readouterr()


def test_rows_are_made_again_where_what_made_them_has_changed(data, monkeypatch):
    monkeypatch.chdir(data)
    mine = ("--classifier", "mine.py:phi", "--unlabelled", "--method", "gda", "--limit", "1")
    said = []
    for sign in ("", "-"):
        (data / "mine.py").write_text(f"def phi(x):\n    return {sign}x.mean((2, 3))\n")
        assert main([*arguments(data), *mine]) == 0
        _, *rows = (json.loads(line) for line in (data / "out" / "rows.jsonl").read_text().splitlines())
        said.append([row["said"]["mine.py:phi"] for row in rows[-3:]])
    assert len(rows) == 6 and said[0] != said[1]


def test_a_random_start_depends_on_the_seed(data):
    more = ("--method", "gda", "--limit", "1", "--random-start", "--eps", "0.3")
    pictures = []
    for seed in ("1", "1", "2"):
        out = data / f"out{len(pictures)}"
        assert main([*arguments(data, *more), "--seed", seed, "--out", str(out)]) == 0
        _, *rows = (json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines())
        pictures.append([row["loss"] for row in rows if row["classifier"]])
    assert pictures[0] == pictures[1] != pictures[2]


def test_a_set_whose_first_picture_is_the_blurred_one_is_attacked_in_its_sharp_one(tmp_path):
    """`dpdd-like`: the picture that is given is that of the larger opening, and the truth that of the smaller."""
    recipe = ["--recipe", "dpdd-like", "--scenes", "1", "--size", "48", "--seed", "3"]
    assert gen.main([*recipe, "--out", str(tmp_path / "data")]) == 0
    case, *_ = open_labelled(tmp_path / "data", required=False)
    subject = Subject.of(replace(case, label="fern"))
    np.testing.assert_array_equal(picture_from_tensor(subject.picture), np.clip(case.truth(), 0.0, 1.0))
    assert subject.lens is not None and subject.lens.blur_parameter > 2.0 * case.lens().blur_parameter
    more = [
        "--unlabelled",
        "--classifier",
        "resnet18-small",
        "--renderer",
        "drbokeh",
        "--method",
        "gda",
        "--steps",
        "2",
    ]
    words = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--pairs", str(tmp_path / "pairs")]
    assert main([*words, *more]) == 0
    (sharp,), (attacked,) = ([read_png(p) for p in (tmp_path / "pairs" / f).iterdir()] for f in ("image", "truth"))
    np.testing.assert_allclose(sharp, np.clip(case.truth(), 0.0, 1.0), atol=1e-4)
    assert np.abs(np.diff(attacked, axis=1)).mean() < 0.95 * np.abs(np.diff(sharp, axis=1)).mean()


def test_pairs_of_sharp_and_attacked_pictures_need_no_labels(data):
    more = ("--unlabelled", "--method", "gda", "--eps", "0.2", "--pairs", str(data / "pairs"))
    assert main(arguments(data, *more)) == 0
    _, *rows = (json.loads(line) for line in (data / "out" / "rows.jsonl").read_text().splitlines())
    assert all(row["label"] == row["said"]["resnet18-small"] for row in rows if row["method"] == "sharp")
    names = [{path.name for path in (data / "pairs" / part).iterdir()} for part in ("image", "truth")]
    assert names[0] == names[1] and len(names[0]) == 2 * 2
    sharp, attacked = (read_png(data / "pairs" / part / min(names[0])) for part in ("image", "truth"))
    (case, *_) = open_labelled(data / "data")
    np.testing.assert_allclose(sharp, case.image(), atol=1e-5)
    assert np.abs(attacked - sharp).max() > 0.01
    # A pair that was lost is made again.
    lost = data / "pairs" / "truth" / min(names[0])
    before = lost.read_bytes()
    lost.unlink()
    assert main(arguments(data, *more)) == 0
    assert lost.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--method", "fgsm"), "--method is 'fgsm'"),
        (("--renderer", "bokehme"), "'bokehme' is not differentiable"),
        (("--classifier", "vgg16"), "vgg16 comes without weights"),
        (("--eps", "2"), "--eps is 2.0; it must be at most 1"),
        (("--renderer", "scatter", "--method", "gda"), "scatter needs the lens"),
        (("--data", "nowhere"), "no such folder"),
        (("--window", "4"), "--window is 4; it must be odd"),
        (("--step-size", "0"), "--step-size is 0.0; it must be above 0"),
        (("--weights", "none.safetensors"), "none.safetensors: there are no such weights"),
        (("--renderer", "drbokeh", "--dry-run"), "drbokeh needs the lens"),
    ],
)
def test_what_cannot_be_attacked_is_said_without_a_traceback(more, message, data, capsys):
    assert main(arguments(data, *more)) == 2
    assert message in capsys.readouterr().err


def test_a_fooled_picture_is_one_that_was_right_before():
    def row(image, method, said):
        similar = {"psnr": 30.0, "ssim": 0.9, "lpips": None}
        return {
            **{"image": image, "label": "fern", "renderer": "scatter", "method": method, "eps": 0.1, "steps": 1},
            **{"classifier": "" if method in ("sharp", "bokeh") else "phi", "said": {"phi": said}},
            **{"to_sharp": similar, "to_bokeh": similar},
        }

    rows = [
        *(row(image, "sharp", "fern") for image in "abc"),
        *(row("a", "bokeh", "fern"), row("b", "bokeh", "fern"), row("c", "bokeh", "sign")),
        *(row("a", "gda", "sign"), row("b", "gda", "fern"), row("c", "gda", "sign")),
    ]
    line = next(line for line in tables(rows).splitlines() if line.startswith("| `phi` | gda"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    # One of three is right; of the two that were right, one is fooled.
    assert cells[2].startswith("0.333") and cells[4].startswith("0.500")


def test_an_attack_without_room_says_what_bokeh_says(data):
    (case, *_) = open_labelled(data / "data")
    bench = Bench([classifier("resnet18-small"), classifier("densenet-small")])
    network = replace(through("cocnet-b3-less-depth"), weights=data / "cocnet.safetensors")
    subject = Subject.of(case)
    plain = bench.plain(subject, network, "bokeh")
    made = bench.attacked(subject, network, bench.classifiers[0], Attack("gda", 0.0, 2))
    assert made.row["said"] == plain.row["said"] and made.row["loss"][0] == made.row["loss"][1]
    np.testing.assert_array_equal(made.picture, plain.picture)
