"""What a scene is a picture of: drawn by a recipe, kept in scene.yaml, told by cases, learned by classifiers."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from bokehdata.cases import MemoryCase
from bokehdata.format import DatasetError
from bokehdata.kinds.billboards import BillboardFolder, billboard_document
from bokehdata.torch_data import CropSettings, sample_of
from inverse.attacks.classifiers import OBJECTS
from scenes.recipe import Recipe, RecipeError, load_recipe
from scenes.sampling import sample_scene
from training.data import Loaders, TrainingData
from training.models.classifier import CLASSIFIERS, classifier_planes, varied_planes
from training.on_the_fly import OnTheFly


@pytest.fixture(scope="module")
def small() -> Recipe:
    return replace(load_recipe("objects"), size_px=24)


@pytest.fixture(scope="module")
def documents(small) -> list[dict]:
    """`scene.yaml` of some scenes."""
    drawn = [sample_scene(small, rng=np.random.default_rng([0, i])) for i in range(30)]
    return [billboard_document(scene, stack, scene_index=0, seed=0, noise=0.004) for scene, stack in drawn]


def test_a_picture_of_objects_shows_one_thing_and_says_which(documents):
    for document in documents:
        subject, background = document["labels"]
        assert subject == document["layers"][0]["asset"]["style"] and background is None
    # Of twelve kinds that are equally frequent, 30 scenes show 11.1 in the mean; 7 or fewer once in 10,000 times.
    counts = Counter(document["labels"][0] for document in documents)
    assert len(counts) > 7 and counts.keys() <= set(OBJECTS)


def test_our_classifiers_know_what_the_recipe_draws():
    assert load_recipe("objects").subjects == OBJECTS
    assert len(OBJECTS) >= 10


def test_other_recipes_say_what_they_said_before_there_were_labels():
    recipe = replace(load_recipe("ebb-like").at_size(24), foregrounds=(1, 1))
    assert "subjects" not in recipe.describe()
    scene, stack = sample_scene(recipe, rng=np.random.default_rng(3))
    assert "labels" not in billboard_document(scene, stack, scene_index=0, seed=0, noise=0.004)


def test_subjects_are_kinds_of_cut_outs_in_front_of_a_camera(small):
    for subjects, message in ((("dragon",), "'dragon' is no kind"), (("fern", "fern"), "names a kind twice")):
        with pytest.raises(RecipeError, match=message):
            replace(small, subjects=subjects)
    with pytest.raises(RecipeError, match="needs a camera"):
        Recipe(name="mine", subjects=("fern",))


def test_a_folder_tells_its_labels_and_an_old_one_has_none(documents):
    document = documents[0]
    assert BillboardFolder(Path("000000"), document).labels == tuple(document["labels"])
    old = {key: value for key, value in document.items() if key != "labels"}
    assert BillboardFolder(Path("000000"), old).labels == (None, None)
    for labels in ("fern", [3, None], ["fern"]):
        with pytest.raises(DatasetError, match=r"000000/scene.yaml: .*labels"):
            _ = BillboardFolder(Path("000000"), {**document, "labels": labels}).labels


# Learning them


def case(label: str | None = "fern", side: int = 48) -> MemoryCase:
    """A picture that becomes lighter downwards."""
    image = np.linspace(0.2, 1.2, side, dtype=np.float32)[:, None, None].repeat(side, 1).repeat(3, 2)
    return MemoryCase(name="slope", scene="slope", label=label, planes=(image, image, image[..., 0]))


def test_a_sample_has_the_number_of_its_label():
    sample = sample_of(
        case("vessel"), CropSettings(None, turned=False), classifier_planes, rng=np.random.default_rng(0)
    )
    assert sample["label"] == OBJECTS.index("vessel")
    assert torch.equal(sample["image"], torch.from_numpy(case().image()).permute(2, 0, 1).clamp(max=1.0))
    for label in (None, "dragon"):
        with pytest.raises(DatasetError, match="is not learned"):
            sample_of(case(label), CropSettings(None), classifier_planes, rng=np.random.default_rng(0))


def test_training_pictures_vary_and_stay_upright():
    model = CLASSIFIERS["densenet-small"]
    preset = replace(model.presets["cpu"], crop_px=32)
    loaders = Loaders(TrainingData([case()], [case()], []), model, preset, seed=0, workers=0)
    samples = [loaders._training[n]["image"] for n in range(16)]
    assert not any(torch.equal(a, b) for a, b in zip(samples, samples[1:], strict=False))
    # The middle columns: turned by 10 degrees at most, they still become lighter downwards.
    assert all(float(s[:, -8:, 12:20].mean()) > float(s[:, :8, 12:20].mean()) for s in samples)


def test_a_step_lowers_the_loss_of_its_batch_and_a_validation_counts_what_is_right():
    torch.manual_seed(0)
    model = CLASSIFIERS["resnet18-small"]
    training = model.build(model.presets["smoke"], 10, {})
    settings = CropSettings(None, turned=False)
    samples = [
        sample_of(case(OBJECTS[i % 12]), settings, varied_planes, rng=np.random.default_rng(i)) for i in range(12)
    ]
    batch = default_collate(samples)
    optimizer = torch.optim.SGD(training.network.parameters(), 0.01)
    losses = []
    for _ in range(3):
        loss = training.objective(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[2] < losses[0]
    training.eval()
    one = {key: value[:1] if isinstance(value, torch.Tensor) else value[:1] for key, value in batch.items()}
    said = {training.measurements({**one, "label": torch.tensor([float(i)])})[0]["accuracy"] for i in range(12)}
    assert said == {0.0, 1.0}


def test_scenes_on_the_fly_have_labels(small):
    stream = OnTheFly(small, CropSettings(None, turned=False), seed=0, planes=classifier_planes, traced=False)
    assert 0 <= int(next(iter(stream))["label"]) < len(OBJECTS)
