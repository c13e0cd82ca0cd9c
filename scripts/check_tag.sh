#!/usr/bin/env bash
# `check_tag.sh v0.1.0`: says no unless the package and the chart are of the version that a tag names.
set -euo pipefail
cd "$(dirname "$0")/.."
for found in "pyproject.toml $(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" \
    "cellfleet.__version__ $(sed -n 's/^__version__ = "\(.*\)"/\1/p' src/cellfleet/__init__.py)" \
    "Chart.yaml $(sed -n 's/^version: //p' deploy/chart/Chart.yaml)" \
    "appVersion $(sed -n 's/^appVersion: //p' deploy/chart/Chart.yaml)"; do
    if [ "v${found#* }" != "$1" ]; then
        echo "check_tag.sh: the tag is $1, but ${found% *} says ${found#* }" >&2
        exit 1
    fi
done
