#!/usr/bin/env bash
# Makes sure that the system parts are there: `system_setup.sh PYTHON build` what building the package needs (venv, a C
# compiler, headers), `… test` what the tests need besides (a JDK and ImageJ, which read our results back; Redis; Node
# and Chromium, which build the page and open it; promtool, which checks alerts).
# As root on Debian or Ubuntu missing parts are installed; otherwise they are named, and the exit code is 1.
set -euo pipefail
python=$1
purpose=$2

missing=()
need() { # need PACKAGE COMMAND…: PACKAGE is missing unless COMMAND succeeds
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

case $purpose in
build)
    if [ -e .git ]; then need git git --version; fi
    need python3-venv "$python" -c "import venv, ensurepip"
    need python3-dev "$python" -c "import os, sysconfig as s; os.stat(os.path.join(s.get_path('include'), 'Python.h'))"
    need gcc cc --version
    need libc6-dev sh -c 'echo "#include <math.h>" | cc -E -'
    ;;
test)
    need default-jdk-headless javac -version
    need libij-java test -e "${CELLFLEET_IJ_JAR:-/usr/share/java/ij.jar}"
    need redis-server redis-server --version
    need npm npm --version
    need prometheus promtool --version
    need chromium test -x "${CELLFLEET_CHROMIUM:-/usr/bin/chromium}"
    ;;
*)
    echo "system_setup.sh: unknown purpose $purpose" >&2
    exit 2
    ;;
esac

if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Missing on this machine: ${missing[*]}" >&2
    echo "On Debian or Ubuntu: sudo apt-get install ${missing[*]}" >&2
    exit 1
fi
echo "Installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
# Debian starts a Prometheus that all the network can ask; the tests want only promtool.
case " ${missing[*]} " in *" prometheus "*) systemctl disable --now prometheus >/dev/null 2>&1 || true ;; esac
