"""What a model says of itself, so that nothing else in `training` knows any model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from bokehdata.torch_data import Planes
from training.module import Training
from training.presets import Preset, PresetName

Settings = TypeVar("Settings", bound=Preset)


@dataclass(frozen=True)
class Samples:
    """What samples hold.

    batch       a TypedDict, derived from `training.module.Batch`; its keys are those of a sample
    planes      makes everything but `name` and `gamma`, which every sample has; a function of a module, so that worker
                processes can be given it
    margin_px   pixels around a crop that its planes depend on; None for those of the largest blur
    traced      whether the planes need the truth; scenes on the fly are not traced without it
    turned      whether crops are flipped and turned by multiples of 90 degrees; not where up or left mean something
    """

    batch: type[Any]
    planes: Planes
    margin_px: int | None = None
    traced: bool = True
    turned: bool = True

    @property
    def keys(self) -> frozenset[str]:
        """Names of all that a sample holds."""
        return frozenset(self.batch.__annotations__)


@dataclass(frozen=True, kw_only=True)
class Model(Generic[Settings]):
    """A network that can be trained.

    name                 of its weights, NAME.safetensors
    presets              settings by name; a model need not have all three
    build                (preset, steps of the run, weights by the name of the networks in `behind`) -> what is trained.
                         RendererError for weights that cannot be used
    samples              of training
    validation_samples   whole pictures, one a batch; None where they hold what those of training hold
    information          what each picture needs: "picture" for its truth alone, "disparity" for its disparity too,
                         "refocusing" for the lens of its truth as well
    trunk                torchvision's name of its encoder, whose weights a user may give (`renderers.neural.trunks`);
                         `build` gets them by this name. None where there is none
    ablations            what rows of the paper's tables change in a preset, by name
    behind               trained networks that this one stands behind: the weights used where none are given, by name
    """

    name: str
    presets: Mapping[PresetName, Settings]
    build: Callable[[Settings, int, Mapping[str, Path]], Training[Any, Any]]
    samples: Samples
    validation_samples: Samples | None = None
    information: Literal["picture", "disparity", "refocusing"] = "refocusing"
    trunk: str | None = None
    ablations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    behind: Mapping[str, Path] = field(default_factory=dict)
