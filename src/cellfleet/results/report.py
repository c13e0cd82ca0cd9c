"""``report.html``: one page about a run that needs no network, no script and no other file to be looked at.

Made from the run's record and the thumbnails; links lead to the result files beside it. Every text that comes from
outside is escaped. Knows no arrays.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template
from urllib.parse import quote

from cellfleet.results.class_report import class_sections, class_tiles
from cellfleet.results.classes import read_class_counts
from cellfleet.results.figures import duration, grouped, histogram_svg, short, stage_bar
from cellfleet.results.formats import format_of
from cellfleet.results.overview import (
    SizeHistogram,
    chosen_for_thumbnails,
    objects_per_image,
    outliers,
    size_histogram,
    total_objects,
)
from cellfleet.results.tables import portable_text
from cellfleet.spec.record import ImageRecord, RunRecord, Told
from cellfleet.stores.place import FolderPlace, Place

MOST_THUMBNAILS = 200
"""Embedded pictures: about 60 kB each, so that the page of 10 000 images stays below 20 MB."""
_MOST_NAMES = 100
_MOST_WORDINGS = 3
"""Of one warning's code, before they are told as one."""
_SINGLE, _FEW = 1, 6
_FORMAT_NAMES = {
    "labels-tiff": "Labels",
    "ome-zarr": "OME-Zarr",
    "ome-zarr-0.4": "OME-Zarr 0.4",
    "imagej-rois": "ROIs",
    "qupath-geojson": "GeoJSON",
    "csv": "Table",
    "parquet": "Parquet",
    "anndata": "AnnData",
    "cellpose": "Cellpose",
    "mcmicro": "MCMICRO",
    "predicted-tiff": "Predicted image",
}

_SHOWN = {"\n": "↵", "\r": "↵", "\t": "⇥"}

_LABELS_OPEN = "Labels open in Fiji, QuPath and napari. The number of an object is the same in labels and tables. "

Flags = dict[str, tuple[str, ...]]


def write_report(out: Place, run: RunRecord) -> None:
    """Write ``report.html`` beside the results; its thumbnails are read there, its links lead there.

    Raises:
        OutputError: E301–E308, E32x.
    """
    out.write("report.html", report_html(run, out).encode("utf-8", "backslashreplace"))


def report_html(run: RunRecord, out: Place) -> str:
    """Return the page; `out` is where the results are."""
    done = [record for record in run.images if record.status == "done"]
    failed = [record for record in run.images if record.status == "failed"]
    sizes = size_histogram(done)
    name = (out.local("").absolute().name if isinstance(out, FolderPlace) else out.url) or "results"
    counts = read_class_counts(out) if run.spec.top else {}
    found = _classes_found(done, counts) if run.spec.top else _objects_found(done, sizes)
    sections = (
        _stopped(run, len(done)),
        _tiles(run, failed, found),
        _failures(failed, alone=not done),
        _warnings(done),
        class_sections(done, counts) if run.spec.top else _pictures(done, sizes, out),
        _made(run, done),
    )
    template = Template(files("cellfleet.results").joinpath("report.html").read_text("utf-8"))
    return template.substitute(
        title=f"{_text(name)} · {_count(len(done), 'image')}"
        + ("" if run.spec.top else f", {_count(total_objects(done), 'object')}"),
        heading=_text(name),
        lead=_lead(run),
        body="\n".join(section for section in sections if section),
        footer=(("" if run.spec.top else _LABELS_OPEN) + f"All settings stand in {_link('run.json', 'run.json')}."),
    )


def _lead(run: RunRecord) -> str:
    return f"{_moment(run.started)} · model {_text(run.model.name)} {_text(run.model.version)}"


def _stopped(run: RunRecord, done: int) -> str:
    if run.status not in {"stopped", "running"}:
        return ""
    return (
        '<section class="warn"><h2>This run was stopped</h2><p class="lead">'
        f"{_count(done, 'image')} finished. Run the same command again to go on.</p></section>"
    )


Tile = tuple[str, str, str]
"""Kind, name and value."""


def _objects_found(done: Sequence[ImageRecord], sizes: SizeHistogram | None) -> list[Tile]:
    size = f"{short(sizes.median)} <small>{sizes.unit}</small>" if sizes else "–"
    nuclei = [record.nuclei.objects for record in done if record.nuclei]
    return [
        ("", "Images segmented", grouped(len(done))),
        ("", "Cells" if nuclei else "Objects", grouped(total_objects(done))),
        *([("", "Nuclei", grouped(sum(nuclei)))] if nuclei else []),
        ("", "Median diameter", size),
    ]


def _classes_found(done: Sequence[ImageRecord], counts: dict[str, int]) -> list[Tile]:
    return [("", "Images classified", grouped(len(done))), *class_tiles(counts)]


def _tiles(run: RunRecord, failed: Sequence[ImageRecord], found: Sequence[Tile]) -> str:
    tiles = [
        *found,
        ("bad" if failed else "", "Images failed", grouped(len(failed))),
        ("", "Time of this run", _spaced(duration(run.wall_seconds))),
    ]
    cells = "".join(f'<div class="{kind}"><dt>{name}</dt><dd>{value}</dd></div>' for kind, name, value in tiles)
    return f'<dl class="tiles">{cells}</dl>'


def _failures(failed: Sequence[ImageRecord], *, alone: bool) -> str:
    if not failed:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{_text(record.image)}</th><td>{_sentence(record.error.what)}</td>'
        f'<td>{_sentence(record.error.action)}</td><td class="code">{_text(record.error.code)}</td></tr>'
        for record in failed
        if record.error
    )
    others = "" if alone else "The others are not affected. "
    return (
        f'<section class="bad"><h2>{_count(len(failed), "image")} failed</h2>'
        f'<p class="note">{others}The same list: {_link("failures.csv", "failures.csv")}.</p>'
        '<table class="failures"><thead><tr><th scope="col">Image</th><th scope="col">What happened</th>'
        '<th scope="col">What you can do</th><th scope="col">Code</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></section>"
    )


def _warnings(done: Sequence[ImageRecord]) -> str:
    """Group warnings of one code and wording; a warning of a single image is told with its name.

    A code of many wordings (a number differs from image to image) is told once: else it would push all else away.
    """
    groups: dict[tuple[str, str, str], list[str]] = {}
    for record in done:
        for told in record.notices:
            groups.setdefault((told.code, told.what, told.action), []).append(record.image)
    if not groups:
        return ""
    wordings = Counter(code for code, _, _ in groups)
    merged: dict[str, tuple[Told, list[str]]] = {}
    for (code, what, action), names in sorted(groups.items(), key=lambda group: -len(group[1])):
        many = wordings[code] > _MOST_WORDINGS
        first = Told(code=code, what=f"For example: {what}" if many else what, action=action)
        listed = [f"{name}: {what}" for name in names] if many else names
        merged.setdefault(code if many else f"{code} {what} {action}", (first, []))[1].extend(listed)
    items = "".join(_warning(told, names) for told, names in sorted(merged.values(), key=lambda item: -len(item[1])))
    return f'<section class="warn"><h2>Please note</h2><ul class="told">{items}</ul></section>'


def _warning(told: Told, names: Sequence[str]) -> str:
    text = f'{_sentence(told.what)} {_sentence(told.action)} <span class="code">[{_text(told.code)}]</span>'
    if len(names) == 1:
        return f"<li><strong>{_text(names[0])}:</strong> {text}</li>"
    rest = f"<li>and {grouped(len(names) - _MOST_NAMES)} more</li>" if len(names) > _MOST_NAMES else ""
    listed = "".join(f"<li>{_text(name)}</li>" for name in names[:_MOST_NAMES])
    return (
        f"<li>{text}<details><summary>{_count(len(names), 'image')}</summary>"
        f'<ul class="names">{listed}{rest}</ul></details></li>'
    )


def _pictures(done: Sequence[ImageRecord], sizes: SizeHistogram | None, out: Place) -> str:
    """Few images come before the figures, one beside them; many would hide the figures."""
    images, figures = _images(done, out), _figures(done, sizes)
    if len(done) > _FEW:
        return figures + images
    return f'<div class="pair">{images}{figures}</div>' if len(done) == _SINGLE else images + figures


def _figures(done: Sequence[ImageRecord], sizes: SizeHistogram | None) -> str:
    if sizes is None:
        return ""
    note = "All objects of all images."
    if sizes.unit == "px":
        note += " In pixels, because not every image has a pixel size (--pixel-size sets it)."
    if sizes.larger:
        note += f" {_count(sizes.larger, 'object')} beyond the right end."
    drawn = histogram_svg(
        sizes.edges,
        sizes.counts,
        sizes.median,
        unit=sizes.unit,
        name="diameter of the circle of equal area",
        things="object",
    )
    figures = [f'<div><h2>Object size</h2><p class="note">{note}</p>{drawn}</div>']
    if per_image := objects_per_image(done):
        edges, counts, median = per_image
        drawn = histogram_svg(edges, counts, median, unit="", name="objects in the image", things="image")
        figures.append(f'<div><h2>Objects per image</h2><p class="note">One count for each image.</p>{drawn}</div>')
    return f'<section class="figures">{"".join(figures)}</section>'


def _images(done: Sequence[ImageRecord], out: Place) -> str:
    if not done:
        return '<section><h2>Images</h2><p class="lead">No image was segmented.</p></section>'
    flagged = outliers(done)
    shown = chosen_for_thumbnails(done, flagged, MOST_THUMBNAILS)
    if len(done) <= MOST_THUMBNAILS:
        shown = {record.image for record in done}
    first = [record for record in done if record.image in flagged and record.image in shown]
    rest = [record for record in done if record.image not in flagged and record.image in shown]
    kind = "single" if len(done) <= _SINGLE else "few" if len(done) <= _FEW else ""
    parts = [f"<h2>{_count(len(done), 'image')}</h2>", f'<p class="note">{_gallery_note(len(shown), done)}</p>']
    if first:
        parts.append(f"<h3>Worth a look ({grouped(len(first))})</h3>")
        parts.append(_gallery(first, flagged, out, kind))
        parts.append("<h3>The others</h3>" if rest else "")
    parts.append(_gallery(rest, flagged, out, kind) if rest else "")
    if len(shown) < len(done):
        parts.append(_table(done, flagged))
    return f"<section>{''.join(parts)}</section>"


def _gallery_note(shown: int, done: Sequence[ImageRecord]) -> str:
    total, nuclei = len(done), any(record.nuclei for record in done)
    what = "the cells (yellow) and their nuclei (white)" if nuclei else "the objects"
    note = f"Outlines of {what} over your own pixels."
    if shown < total:
        note += (
            f" {grouped(shown)} of {grouped(total)} are shown: those that differ from the rest, and others evenly "
            "over the run. The table below has all."
        )
    return note


def _gallery(records: Sequence[ImageRecord], flagged: Flags, out: Place, kind: str) -> str:
    cards = "".join(_card(record, flagged.get(record.image, ()), out) for record in records)
    return f'<ul class="gallery {kind}">{cards}</ul>'


def _card(record: ImageRecord, flags: tuple[str, ...], out: Place) -> str:
    name = _text(record.image)
    objects = _count(record.objects, "cell" if record.nuclei else "object")
    nuclei = f" · {_counted_nuclei(record.nuclei.objects)}" if record.nuclei else ""
    picture = _data_url(out.read(record.thumbnail)) if record.thumbnail else None
    drawn = '<div class="none">no picture</div>'
    if picture:
        drawn = f'<img src="{picture}" alt="{name} with the outlines of {objects}" loading="lazy" decoding="async">'
    return (
        f'<li>{drawn}<div class="about"><h4 title="{name}">{name}</h4>'
        f"<p><strong>{objects}</strong>{nuclei}{_median(record)}</p><p>{_flags(flags)}</p>"
        f'<p class="files">{_file_links(record)}</p></div></li>'
    )


def _table(done: Sequence[ImageRecord], flagged: Flags) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_text(record.image)}</th><td>{grouped(record.objects)}</td>'
        f"<td>{_diameter(record)}</td><td>{_flags(flagged.get(record.image, ()))}</td>"
        f"<td>{_file_links(record)}</td></tr>"
        for record in done
    )
    return (
        f"<h3>All images</h3><details><summary>Table of {_count(len(done), 'image')}</summary>"
        '<div class="scroll"><table class="images"><thead><tr><th scope="col">Image</th><th scope="col">Objects</th>'
        '<th scope="col">Median diameter</th><th scope="col">Worth a look</th><th scope="col">Files</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _made(run: RunRecord, done: Sequence[ImageRecord]) -> str:
    facts = [
        ("Model", f"{_text(run.model.name)} {_text(run.model.version)} <code>sha256 {_text(run.model.sha256)}</code>"),
        ("Device", f"{_text(run.device)}, {_count(run.threads, 'thread')}"),
        ("Pixel size", _pixel_sizes(done)),
        ("Scale", _scales(done)),
        ("Versions", _text(", ".join([f"cellfleet {run.cellfleet}", *(f"{k} {v}" for k, v in run.versions.items())]))),
        ("Time", f"{_moment(run.started)} to {_moment(run.finished) if run.finished else 'not finished'}"),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts if value)
    stages = stage_bar(run.seconds, run.busy_share)
    timing = f"<h3>Where the time went</h3>{stages}" if stages else ""
    return (
        f"<section><h2>How this was made</h2><h3>As a command</h3><pre>{escape(run.command)}</pre>"
        f"<h3>As Python</h3><pre>{escape(run.python.strip())}</pre>"
        f'<h3>With</h3><dl class="facts">{listed}</dl>{timing}</section>'
    )


def _pixel_sizes(done: Iterable[ImageRecord]) -> str:
    sizes = Counter((r.microns_per_pixel, r.microns_per_pixel_source) for r in done)
    return "; ".join(
        f"{_count(number, 'image')} with {short(size)} µm per pixel ({_text(source)})"
        if size
        else f"{_count(number, 'image')} without a known pixel size"
        for (size, source), number in sizes.most_common(5)
    )


def _scales(done: Iterable[ImageRecord]) -> str:
    meanings = {
        "pixel-size": "by the pixel size",
        "diameter": "by the given diameter",
        "estimated": "by object sizes estimated from the image",
        "unscaled": "at their own scale",
    }
    sources = Counter(record.scale.source for record in done if record.scale)
    return "; ".join(f"{_count(number, 'image')} {meanings[source]}" for source, number in sources.most_common())


def _file_links(record: ImageRecord) -> str:
    return " ".join(_link(path, _output_name(form)) for form, path in record.outputs.items())


def _output_name(form: str) -> str:
    name = _FORMAT_NAMES.get(format_of(form), form)
    return name if format_of(form) == form else f"{name} of nuclei"


def _link(path: str, text: str) -> str:
    """Link to a file beside the report. "./" and the escaped colon keep odd names from being schemes or hosts."""
    return f'<a href="./{escape(quote(path))}">{_text(text)}</a>'


def _data_url(content: bytes | None) -> str | None:
    return None if content is None else f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def _flags(flags: tuple[str, ...]) -> str:
    return "".join(f'<span class="flag">{flag}</span>' for flag in flags)


def _median(record: ImageRecord) -> str:
    return f" · median ⌀ {_diameter(record)}" if record.median_diameter_px else ""


def _diameter(record: ImageRecord) -> str:
    if not record.median_diameter_px:
        return "–"
    pixels = f"{short(record.median_diameter_px)}\u00a0px"
    if not record.microns_per_pixel:
        return pixels
    return f"{short(record.median_diameter_px * record.microns_per_pixel)}\u00a0µm"


def _count(number: int, thing: str) -> str:
    return f"{grouped(number)} {thing}{'' if number == 1 else 's'}"


def _counted_nuclei(number: int) -> str:
    return f"{grouped(number)} {'nucleus' if number == 1 else 'nuclei'}"


def _spaced(text: str) -> str:
    """Print units smaller than their numbers."""
    return " ".join(word if word[0].isdigit() else f"<small>{word}</small>" for word in text.split())


def _moment(iso: str) -> str:
    return _text(iso.replace("T", " ").replace("+00:00", " UTC"))


def _sentence(text: str) -> str:
    """Return the clause as an escaped sentence; options such as --channel are not broken over lines."""
    if not text:
        return ""
    sentence = _text(text[0].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else "."))
    return re.sub(r"(--[a-z][a-z-]*)", r'<span class="option">\1</span>', sentence)


def _text(text: str) -> str:
    """Escape for HTML text and attributes; control characters of odd file names are made visible."""
    visible = "".join(_SHOWN.get(c, f"\\x{ord(c):02x}") if ord(c) < 0x20 else c for c in portable_text(text))
    return escape(visible, quote=True)
