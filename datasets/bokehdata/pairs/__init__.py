"""Pairs of photographs in the layouts of public sets. Each file here reads one layout."""

from pathlib import Path

from bokehdata.pairs import dpdd, ebb, ebokehnet, realbokeh, vabm
from bokehdata.pairs.pair import Layout

LAYOUTS = (
    Layout("ebb", ebb.is_ebb, ebb.ebb_pairs),
    Layout("vabm", vabm.is_vabm, vabm.vabm_pairs),
    Layout("realbokeh", realbokeh.is_realbokeh, realbokeh.realbokeh_pairs),
    Layout("dpdd", dpdd.is_dpdd, dpdd.dpdd_pairs),
    Layout("ebokehnet", ebokehnet.is_ebokehnet, ebokehnet.ebokehnet_pairs),
)


def layout_of(root: Path) -> Layout | None:
    """The layout of a folder, None where it is none of these."""
    return next((layout for layout in LAYOUTS if layout.is_here(root)), None)
