"""How the papers' figures look, and how one becomes a file. matplotlib (extra `bench`) is imported only when drawing.

Colours are those of Okabe and Ito, which the colour-blind tell apart. Knows no numbers.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from cellfleet.errors import UsageError
from cellfleet.planning.paper import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Form = Literal["svg", "png"]

BLUE, ORANGE, GREEN, SKY, VERMILION = "#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00"
DARK_ORANGE, DARK_GREEN = "#8A5A00", "#006B4F"
"""For words: the light ones are too faint on white."""
GREY, INK, SOFT = "#BBBBBB", "#222222", "#767676"
_STYLE: Final[dict[Any, Any]] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "svg.hashsalt": "cellfleet",
}


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, inches."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    return Figure(figsize=(width, height), layout="constrained")


def file_content(drawer: Callable[[Table], Figure], content: Table, form: Form) -> bytes:
    """Draw a table and return the file's content; the same table gives the same bytes.

    Raises:
        UsageError: E745, matplotlib is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "E745",
            "figures are drawn with matplotlib, which is not installed",
            action="pip install 'cellfleet[bench]', or leave the figures out with --figures none",
        ) from error
    out = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure = drawer(content)
        figure.savefig(out, format=form, dpi=144, metadata={"Date": None} if form == "svg" else {"Software": None})
    # A hundredth of a point is finer than any screen; six digits and indents would double the file.
    return re.sub(rb"\n +", b"\n", re.sub(rb"(\.\d\d)\d+", rb"\1", out.getvalue())) if form == "svg" else out.getvalue()
