"""Make tables, plots and a page of a benchmark, from its results.json alone.

    python evaluation/report.py results/default

writes report.md, report.html, tables/*.tex, tables/*.csv and plots/*.svg into that folder.
"""

if __name__ == "__main__":
    from runtime.command import start

    raise SystemExit(start("evaluation.report", None, "report.py"))

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tyro

from evaluation.page import DEFAULT_CASES, page
from evaluation.plots import error_versus_blur, error_versus_time
from evaluation.results import ResultsError, interpreting, read_results, write_text
from evaluation.tables import against, rankings, tables, weights_used
from runtime import command
from runtime.command import OptionError


@dataclass(frozen=True)
class Options:
    """Make tables (Markdown, LaTeX, CSV), plots (SVG) and one self-contained page of a benchmark; nothing is rendered.

    Example: python evaluation/report.py results/default
    """

    dir: tyro.conf.Positional[Path]
    """Folder of the benchmark, with results.json."""
    cases: int = DEFAULT_CASES
    """Show the pictures of at most this many images, the worst first, 0 to 1,000,000."""
    against: str | None = None
    """Add a table of the differences from this renderer, by blur level, such as scatter."""


def main(argv: list[str] | None = None, prog: str = "report.py") -> int:
    """Run the command; returns its exit code: 0, or 2 for a folder that is not a finished or begun benchmark."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(partial(_report, options), prog, refusals=(ResultsError,), path=options.dir)


def _report(options: Options) -> int:
    command.require_counts(("--cases", options.cases, 0, command.COUNT_MAX))
    document = read_results(options.dir)
    with interpreting(options.dir):
        return _write_report(options, document)


def _write_report(options: Options, document: dict[str, Any]) -> int:
    folder = options.dir
    if not any("error" not in row for row in document["rows"]):
        raise ResultsError(f"{folder}: no renderer has rendered anything yet")
    made = tables(document)
    if options.against is not None:
        names = [renderer["name"] for renderer in document["renderers"]]
        if options.against not in names:
            raise OptionError(f"--against is {options.against!r}; {folder} has {', '.join(names)}")
        made.append(against(document, options.against))
    for name in ("tables", "plots"):
        (folder / name).mkdir(exist_ok=True)
    for table in made:
        write_text(folder / "tables" / f"{table.key}.tex", table.latex())
        write_text(folder / "tables" / f"{table.key}.csv", table.csv())
    write_text(folder / "plots" / "error-versus-blur.svg", error_versus_blur(document))
    write_text(folder / "plots" / "error-versus-time.svg", error_versus_time(document))
    protocol = document["protocol"]
    data = document["data"]
    heading = f"# {data['name']}, protocol {protocol['name']}\n\n{protocol['source']}. Data {data['sha256'][:12]}.\n"
    remarks = "\n\n".join([*rankings(document), *weights_used(document)]) + "\n"
    write_text(folder / "report.md", "\n".join([heading, *(table.markdown() for table in made), remarks]))
    write_text(folder / "report.html", page(document, folder, options.cases))
    print(*(table.markdown() for table in made), remarks, sep="\n")
    print(f"{len(made)} tables and two plots are in {folder}; open the page in a browser: {folder / 'report.html'}")
    return command.DONE
