"""The report needs nothing but itself, escapes what comes from outside, and points to what is worth a look."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellfleet.results.figures import duration, histogram_svg, stage_bar
from cellfleet.results.overview import outliers, size_histogram
from cellfleet.results.picture import outline_picture
from cellfleet.results.record import thumbnail_name
from cellfleet.results.report import MOST_THUMBNAILS, report_html, write_report
from cellfleet.results.tables import portable_text
from cellfleet.spec.record import ImageRecord, ModelUsed, RunRecord, Told
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.place import FolderPlace

VOID = {"meta", "img", "br", "link", "input"}


def image(name: str, objects: int = 20, diameter: float = 12, *, microns: float | None = None) -> ImageRecord:
    """Return the record of a finished image of 100 x 100 px whose objects all have one diameter."""
    counts = [0.0] * 100
    counts[int(diameter)] = objects
    stem = name.rpartition(".")[0]
    record = ImageRecord(
        image=name,
        status="done",
        key="k",
        axes="YX",
        shape=(100, 100),
        microns_per_pixel=microns,
        microns_per_pixel_source="ome" if microns else "",
        objects=objects,
        median_diameter_px=diameter if objects else None,
        diameter_histogram={"edges": list(range(101)), "counts": counts} if objects else {},
    )
    # Not checked here, so that hostile names get as far as the page.
    return record.model_copy(update={"outputs": {"labels-tiff": f"{stem}_labels.tif", "csv": f"{stem}_cells.csv"}})


def failed(name: str) -> ImageRecord:
    """Return the record of an image that failed."""
    error = Told(code="E110", what="the file ends early", where=name, action="Copy it again")
    return ImageRecord(image=name, status="failed", key="k", error=error)


def run(*images: ImageRecord, **changes: object) -> RunRecord:
    """Return the record of a finished run."""
    record = RunRecord(
        cellfleet="0.1.0",
        command="cellfleet segment 'a b' -o results --channel \"x\" && echo <hi>",
        python="import cellfleet",
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T00:01:00+00:00",
        status="done",
        spec=SegmentSpec(),
        key="k",
        model=ModelUsed(name="nuclei", version="1.0.0", sha256="ab" * 32),
        formats=("labels-tiff",),
        device="CPU",
        threads=2,
        seconds={"read": 1, "predict": 8},
        busy_share={"predict": 0.8},
        wall_seconds=61,
        images=images,
    )
    return record.model_copy(update=changes)


class Page(HTMLParser):
    """What stands in the page: tags with attributes, visible text, and whether elements are nested rightly."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def count(self, tag: str) -> int:
        return Counter(name for name, _ in self.tags)[tag]

    def values(self, tag: str, attribute: str) -> list[str]:
        return [
            attributes[attribute] or "" for name, attributes in self.tags if name == tag and attribute in attributes
        ]


def page(record: RunRecord, folder: Path = Path("results")) -> Page:
    """Render and parse."""
    return Page(report_html(record, FolderPlace(folder)))


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    out = FolderPlace(tmp_path)
    thumbnail = thumbnail_name("a.tif")
    out.write(thumbnail, outline_picture(np.eye(40)[np.newaxis], np.array([[0, 1]]), np.eye(40, dtype=np.uint32)))
    record = image("a.tif").model_copy(update={"thumbnail": thumbnail})
    write_report(out, run(record, failed("b.tif")))
    html = (tmp_path / "report.html").read_text("utf-8")
    shown = Page(html)
    assert {"script", "link", "iframe", "object", "form"}.isdisjoint(tag for tag, _ in shown.tags)
    assert not [name for _, attributes in shown.tags for name in attributes if name.startswith("on") or name == "style"]
    assert all(source.startswith("data:image/jpeg;base64,") for source in shown.values("img", "src"))
    assert shown.count("img") == 1
    assert not re.search(r"url\(|@import|https?:", html)
    assert "default-src 'none'" in html


names = st.text(st.characters(exclude_characters="\0", exclude_categories=()), min_size=1, max_size=20)


@given(names)
@settings(max_examples=60, deadline=None)
def test_odd_names_are_shown_and_linked_and_never_become_markup(name: str) -> None:
    plain = page(run(image("a.tif"), failed("b.tif")))
    folder, name = Path(name.replace("/", "")), portable_text(name)
    odd = page(run(image(f"{name}.tif"), failed(name)), folder)
    assert Counter(tag for tag, _ in odd.tags) == Counter(tag for tag, _ in plain.tags)
    assert unquote(odd.values("a", "href")[-3]) == f"./{name}_labels.tif"


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\"' onload='x", "javascript:x", "//host/a", "a\nb\x1b"])
def test_hostile_names(name: str) -> None:
    html = report_html(run(image(f"{name}.tif"), failed(name)), FolderPlace(Path("results")))
    shown = Page(html)
    assert "<script" not in html
    assert all(link.startswith("./") and ":" not in link for link in shown.values("a", "href"))
    visible = name.replace("\n", "↵").replace("\x1b", "\\x1b")
    assert visible in shown.text


def test_failures_come_first_with_sentence_action_and_code() -> None:
    shown = page(run(image("a.tif"), failed("b.tif"), failed("c.tif")))
    assert "2 images failed" in shown.text
    row = "b.tifThe file ends early.Copy it again.E110"
    assert row in shown.text
    assert shown.text.index(row) < shown.text.index("Object size")
    assert "failed" not in page(run(image("a.tif"))).text.split("As a command")[0].replace("Images failed0", "")


def test_equal_warnings_are_told_once_with_their_images() -> None:
    told = Told(code="W104", what="pixel size is not in the file", action="--pixel-size sets it")
    images = [image(f"{i}.tif").model_copy(update={"notices": (told,)}) for i in range(150)]
    shown = page(run(*images))
    assert shown.text.count("Pixel size is not in the file. --pixel-size sets it. [W104]") == 1
    assert "and 50 more" in shown.text


def test_warnings_that_differ_in_a_number_are_told_once() -> None:
    def warned(number: int) -> ImageRecord:
        told = Told(code="W204", what=f"objects of {20 + number % 30} px were found")
        return image(f"{number}.tif").model_copy(update={"notices": (told,)})

    shown = page(run(*map(warned, range(60)), warned(0).model_copy(update={"image": "more.tif"})))
    assert shown.text.count("[W204]") == 1
    assert "For example: objects of 20 px were found." in shown.text and "61 images" in shown.text
    assert "7.tif: objects of 27 px were found" in shown.text


@pytest.mark.parametrize("count", [0, 1, 2, 5, 7, 60])
def test_runs_of_every_size_have_their_numbers(count: int) -> None:
    shown = page(run(*(image(f"{i}.tif", objects=30) for i in range(count))))
    assert f"Images segmented{count}Objects{30 * count:,}".replace(",", "\u202f") in shown.text
    assert shown.count("h4") == count
    assert ("No image was segmented" in shown.text) == (count == 0)


def test_a_run_without_any_object_and_a_stopped_run() -> None:
    assert "Median diameter–" in page(run(image("a.tif", objects=0))).text
    stopped = page(run(image("a.tif"), status="stopped", finished=None))
    assert "Run the same command again to go on" in stopped.text


@pytest.mark.slow
def test_ten_thousand_images_stay_one_small_page_that_has_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "t.jpg").write_bytes(b"x" * 60_000)
    images = [image(f"plate/{i:05}.tif").model_copy(update={"thumbnail": "t.jpg"}) for i in range(10_000)]
    images[7_777] = images[7_777].model_copy(update={"objects": 0})
    html = report_html(run(*images), FolderPlace(tmp_path))
    shown = Page(html)
    assert len(html) < 25_000_000
    assert shown.count("img") == MOST_THUMBNAILS
    assert "200 of 10\u202f000 are shown" in shown.text
    first = next(attributes["alt"] for tag, attributes in shown.tags if tag == "img")
    assert first == "plate/07777.tif with the outlines of 0 objects"
    assert all(shown.text.count(f"plate/{i:05}.tif") >= 1 for i in range(0, 10_000, 501))


def test_colours_of_text_are_readable_in_light_and_dark() -> None:
    style = report_html(run(), FolderPlace(Path("results"))).split("<style>")[1]
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]
    for theme in (light, dark):
        colour = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", theme))
        for text in ("text", "muted", "accent"):
            for ground in ("page", "card", "bad-tint", "warn-tint"):
                assert _contrast(colour[text], colour[ground]) >= 4.5, (text, ground)
        assert _contrast(colour["bad"], colour["card"]) >= 4.5
        assert _contrast(colour["warn"], colour["warn-tint"]) >= 4.5


def _contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_images_that_differ_from_the_run_are_worth_a_look() -> None:
    usual = [image(f"{i}.tif", objects=18 + i, diameter=11 + i % 3) for i in range(9)]
    odd = {
        "none.tif": (image("none.tif", objects=0), ("no objects",)),
        "few.tif": (image("few.tif", objects=3), ("few objects",)),
        "many.tif": (image("many.tif", objects=120), ("many objects",)),
        "small.tif": (image("small.tif", diameter=5), ("small objects",)),
        "large.tif": (image("large.tif", objects=4, diameter=30), ("few objects", "large objects")),
    }
    assert outliers([*usual, *(record for record, _ in odd.values())]) == {
        name: reasons for name, (_, reasons) in odd.items()
    }


def test_a_mixed_run_or_a_handful_of_images_flags_nothing() -> None:
    mixed = [image(f"{i}.tif", objects=10 + i, diameter=5 + 3 * i) for i in range(15)]
    assert not outliers(mixed)
    assert not outliers([image("a.tif", objects=1), image("b.tif", objects=99), failed("c.tif")])


def test_sizes_are_in_microns_only_when_every_image_has_a_pixel_size() -> None:
    known, unknown = image("a.tif", diameter=10, microns=0.5), image("b.tif", diameter=10)
    in_microns, in_pixels = size_histogram([known, known]), size_histogram([known, unknown])
    assert in_microns
    assert in_pixels
    assert (in_microns.unit, in_pixels.unit) == ("µm", "px")
    assert in_microns.median == pytest.approx(5.25)
    assert in_pixels.median == pytest.approx(10.5)
    assert size_histogram([image("c.tif", objects=0)]) is None


@given(
    st.lists(
        st.tuples(st.integers(1, 500), st.floats(1, 99), st.sampled_from([0.1, 0.5, 1.0, 3.0])), min_size=1, max_size=8
    )
)
def test_the_size_histogram_loses_no_object(images: list[tuple[int, float, float]]) -> None:
    records = [image(f"{i}.tif", n, d, microns=um) for i, (n, d, um) in enumerate(images)]
    sizes = size_histogram(records)
    assert sizes
    assert sum(sizes.counts) + sizes.larger == pytest.approx(sum(n for n, _, _ in images), abs=1)
    assert len(sizes.edges) == len(sizes.counts) + 1 <= 120
    assert all(count >= 0 for count in sizes.counts)
    low = min(int(d) * um for _, d, um in images)
    high = max((int(d) + 1) * um for _, d, um in images)
    assert low <= sizes.median <= high


def test_one_kind_of_image_gives_whole_objects_per_bar() -> None:
    sizes = size_histogram([image("a.tif", 7, 33, microns=0.65), image("b.tif", 4, 60, microns=0.65)])
    assert sizes
    assert sorted(round(count, 9) for count in sizes.counts if count > 1e-9) in ([4, 7], [7])


def test_figures_are_well_formed_and_inside_their_frame() -> None:
    svg = histogram_svg([0, 1, 2, 3], [5, 0, 9.5], 1.2, unit="µm", name="diameter", things="object")
    Page(svg)
    bars = re.findall(r'<rect class="bar" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', svg)
    assert len(bars) == 2
    assert all(float(x) + float(w) <= 560 and float(y) + float(h) <= 240 for x, y, w, h in bars)
    bar = stage_bar({"write": 1.0, "read": 3.0, "odd & new": 4.0}, {"read": 0.25})
    Page(bar)
    assert [float(w) for w in re.findall(r'y="0" width="([\d.]+)"', bar)] == [37.5, 12.5, 50.0]
    assert stage_bar({}, {}) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.4217, "0.42 s"), (9.96, "10 s"), (38.4, "38 s"), (788, "13 min 8 s"), (7_500, "2 h 5 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
