"""What many scenes cost, beside making them.

    python benchmarks/scale.py engines     scenes per second by engine, and what a task costs who hands it out
    python benchmarks/scale.py index       what the index of a dataset in an object store costs, up to a million scenes
    python benchmarks/scale.py soak        memory and open files of the main job over ten thousand small scenes

README.md beside this file says what the figures are.
"""

import sys
from collections.abc import Callable

import scale_engines
import scale_index
import scale_soak

from runtime.command import BAD_INPUT, DONE

PARTS: dict[str, Callable[[list[str]], int]] = {
    "engines": scale_engines.main,
    "index": scale_index.main,
    "soak": scale_soak.main,
}


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] not in PARTS:
        print(f"{__doc__}\nerror: name a part: {', '.join(PARTS)}", file=sys.stderr)
        return DONE if words[:1] in (["-h"], ["--help"]) else BAD_INPUT
    return PARTS[words[0]](words[1:])


if __name__ == "__main__":
    raise SystemExit(main())
