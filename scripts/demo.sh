#!/usr/bin/env bash
# `make demo`: installs cellfleet as a user would, into an environment of its own, and segments the sample images.
# demo.sh VENV RESULTS; $PYTHON is the interpreter.
set -euo pipefail
venv=$1
results=$2
python=${PYTHON:-python3}
started=$SECONDS

bash scripts/system_setup.sh "$python" build
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
if ! cat requirements/build.txt requirements/run.txt | cmp -s - "$venv/installed.txt"; then
    echo "Installing cellfleet and its dependencies into $venv"
    for list in build run; do
        pip install --require-hashes --no-deps --only-binary :all: -r requirements/$list.txt
    done
    cat requirements/build.txt requirements/run.txt >"$venv/installed.txt"
fi
# The demo shows the command; the web page would take a minute to build.
CELLFLEET_BUILD_PAGE=no pip install --no-deps --no-build-isolation --force-reinstall .
installed=$SECONDS

"$venv/bin/cellfleet" samples "$results/images"
"$venv/bin/cellfleet" segment "$results/images" -o "$results/segmented" --overwrite
echo
echo "Set-up: $((installed - started)) s, $(du -sm "$venv" | cut -f1) MB in $venv. Segmentation: $((SECONDS - installed)) s."
echo "Look at: $results/segmented/report.html"
