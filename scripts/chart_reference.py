"""Write docs/reference/chart.md from the chart's values and their schema: run as `python scripts/chart_reference.py`.

A test compares, so that values, schema and page cannot differ. Knows no template.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "chart"
PAGE = ROOT / "docs" / "reference" / "chart.md"

_HEAD = """\
# Values of the chart

Made by `scripts/chart_reference.py` from `values.yaml` and `values.schema.json` in `deploy/chart`: change those. Helm
refuses values that are not here, and values of another kind. How to use the chart:
[how-to/kubernetes.md](../how-to/kubernetes.md).

Sizes are like `20Gi`, amounts of processors like `4` or `500m`.
"""

Schema = Mapping[str, Any]


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the page."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    rows = dict(settings(schema, values))
    single = [row for path, row in rows.items() if "." not in path]
    sections = [_table("## Of the whole", "", single)]
    for name, part in schema["properties"].items():
        inside = [row for path, row in rows.items() if path.startswith(f"{name}.")]
        if inside:
            sections.append(_table(f"## {name}", part["description"], inside))
    return "\n".join([_HEAD, *sections])


def settings(schema: Schema, values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield path and row of every setting, in the order of the schema; groups of settings have none of their own."""
    for name, part in schema["properties"].items():
        path = above + name
        if part.get("properties"):
            yield from settings(part, values[name], f"{path}.")
        elif name != "global":
            yield path, f"| `{path}` | {_shown(values[name])} | {_meaning(part)} |"


def _shown(value: object) -> str:
    if value == "":
        return "–"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value, ensure_ascii=False)}`"


def _meaning(part: Schema) -> str:
    text = str(part["description"]).replace("|", "\\|")
    if any(each not in text for each in part.get("enum", ())):
        text += f" One of {', '.join(_shown(each) if each else 'nothing' for each in part['enum'])}."
    return text


def _table(title: str, text: str, rows: list[str]) -> str:
    lead = f"{text}\n\n" if text else ""
    return "\n".join([f"{title}\n", f"{lead}| value | default | meaning |", "|---|---|---|", *rows, ""])


if __name__ == "__main__":
    main()
