"""Names of result files: one per image, on every platform, and as documented."""

import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from cellfleet.run.names import output_names, output_stems

part = st.text("aAbÄä._-~2é", min_size=1, max_size=6).filter(lambda text: text.strip(".") and text not in {".", ".."})
name = st.builds(lambda folder, stem, end: "/".join((*folder, stem + end)), st.lists(part, max_size=2), part,
                 st.sampled_from([".tif", ".png", ".TIF", ".ome.tif", ".tif.png", "_labels.tif"]))  # fmt: skip


@given(st.lists(name, unique=True, max_size=12))
@example(["a.tif", "a.png", "a.tif.png"])
@example(["A.tif", "a.tif"])
@example(["a.tif", "a_labels.tif"])
@example(["e\u0301.tif", "\u00e9.tif"])
@example(["a.tif", "a.png", "A.tif", "a.tif.tif", "A.tif.png"])
def test_no_two_results_share_a_file_on_any_platform(names: list[str]) -> None:
    stems = output_stems(names)
    files = [path for stem in stems for path in output_names(stem, ("labels-tiff", "csv", "parquet")).values()]
    assert len(stems) == len(names)
    # As Windows and macOS compare names.
    assert len({unicodedata.normalize("NFD", path).casefold() for path in files}) == len(files)


@given(st.lists(name, unique=True, max_size=12))
def test_results_stand_in_the_folder_of_their_image(names: list[str]) -> None:
    for given_name, stem in zip(names, output_stems(names), strict=True):
        assert stem.rpartition("/")[0] == given_name.rpartition("/")[0]


def test_documented_names() -> None:
    assert output_stems(["a.tif", "b.ome.tif", "plate/a.tif"]) == ["a", "b.ome", "plate/a"]
    assert output_stems(["a.tif", "a.png", "b.tif"]) == ["a.tif", "a.png", "b"]
    assert output_names("plate/a", ("csv", "labels-tiff")) == {
        "csv": "plate/a_cells.csv",
        "labels-tiff": "plate/a_labels.tif",
    }
