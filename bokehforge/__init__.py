"""Ground truth for lens blur, renderers of it, and their measurement.

    import bokehforge as bf

    for case in bf.open_dataset("datasets/default"):
        picture = bf.refocus(case.image(), case.disparity(), case.lens(), renderer="scatter")
        print(case.name, bf.score(picture, case.truth()))

`bokehforge.api` is the public interface; all other names of all packages may change. It is imported when a name of it
is first used, so that the commands start at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bokehforge.api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    # Not `from bokehforge import api`, which asks this function for a module that is not there yet.
    api = import_module("bokehforge.api")
    if name == "__all__" or name in api.__all__:
        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*import_module("bokehforge.api").__all__, *globals()]
