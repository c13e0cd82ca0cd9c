"""The container images, built and tried without a container engine; as root on Debian with buildah and mmdebstrap.

    python -m benchmarks.images.run [--gpu] [--keep] [-- BUILD_FLAGS…]

The bases are made here, of Debian's packages and this machine's node, since it may reach no registry of images: they
are like those that the Dockerfiles name, not the same. What is built is the last commit. The image then runs as a
cluster runs it and worse: a user whom nobody knows, no HOME, no capabilities, nothing to write to but an empty /tmp.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks.common import ROOT, Bar, save, table

REPOSITORY = "localhost/cellfleet"
USER = 12345
EXCLUDED = ("man/*", "locale/*", "doc/*")
"""Below /usr/share: what Debian leaves out of its own slim image."""
SANDBOX = """
set -e
root=$1; store=$2; shift 2
mount --bind "$root" "$root"
mkdir -p "$root/proc" "$root/dev" "$root/tmp"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir "$root/tmp/store" && mount --bind "$store" "$root/tmp/store"
mount -o remount,ro,bind "$root"
cd /
exec chroot --userspec=USER:USER --groups= "$root" env -i $ENVIRONMENT "$@"
""".replace("USER:USER", f"{USER}:{USER}")


def main() -> None:
    """Build, try, measure."""
    parser = argparse.ArgumentParser(description="Build the container images and try them.")
    parser.add_argument("--gpu", action="store_true", help="build the image for GPUs as well: gigabytes")
    parser.add_argument("--keep", action="store_true", help="take images that an earlier run built")
    parser.add_argument("flags", nargs="*", help="more for the builder")
    given = parser.parse_args()
    version = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition('\nversion = "')[2].partition('"')[0]
    tags = [version, f"{version}-gpu"] if given.gpu else [version]
    seconds = 0.0 if given.keep else build(tags, given.flags)
    rows = []
    config = configuration(f"{REPOSITORY}:{version}")
    with mounted(f"{REPOSITORY}:{version}") as root:
        tried = try_out(root, [word for word in config["Env"] if not word.startswith("HOME=")])
        parts = weights(root)
    for tag in tags:
        with mounted(f"{REPOSITORY}:{tag}") as root:
            rows.append((tag, megabytes(root), round(pulled(f"{REPOSITORY}:{tag}"))))
    bars = [Bar("container image for processors, unpacked", 1000, None, rows[0][1], "MB", at_least=False)]
    details = {"sizes": rows, "parts": parts, "tried": tried, "build_seconds": round(seconds)}
    notes = [
        f"Built from commit {config['Labels']['org.opencontainers.image.revision'][:7]}.",
        "Bases made by mmdebstrap, built by buildah (chroot isolation): not the bases that a registry gives.",
        f"Tried as uid {USER}, HOME unset, no capabilities, read-only root, empty /tmp: {'; '.join(tried)}.",
        "No GPU here: the image for GPUs was built and weighed, not run."
        if given.gpu
        else "Image for GPUs: not built.",
        "MB = 10^6 bytes.",
    ]
    text = table(["image", "unpacked, MB", "to pull (gzip), MB"], rows)
    text += "\n" + table(["largest parts of the image for processors", "MB"], parts)
    save("images", bars, details, notes, text)


# --- building --------------------------------------------------------------------------------------------------------


def build(tags: Sequence[str], flags: Sequence[str]) -> float:
    """Build bases and images; return the seconds of the latter."""
    base()
    words = ["--build-arg DEBIAN=localhost/debian --build-arg NODE=localhost/node", *flags]
    targets = "cpu gpu" if len(tags) > 1 else "cpu"
    began = time.monotonic()
    settings = {"REPOSITORY": REPOSITORY, "TARGETS": targets, "BUILD_FLAGS": " ".join(words)}
    run("bash", "scripts/images.sh", env=settings)
    return time.monotonic() - began


def base() -> None:
    """Make stand-ins for Debian's and node's images."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "debian.tar"
        options = [f"--dpkgopt=path-exclude=/usr/share/{path}" for path in EXCLUDED]
        run("mmdebstrap", "--quiet", "--variant=minbase", *options, "bookworm", archive)
        commit("scratch", "localhost/debian", lambda root: run("tar", "-xf", archive, "-C", root))
    node, npm = (Path(str(shutil.which(name))).resolve() for name in ("node", "npm"))
    package = npm.parents[1]

    def add_node(root: Path) -> None:
        shutil.copy(node, root / "usr/bin/node")
        shutil.copytree(package, root / "usr/lib/node_modules/npm", symlinks=True)
        (root / "usr/bin/npm").symlink_to(f"../lib/node_modules/npm/{npm.relative_to(package)}")

    commit("localhost/debian", "localhost/node", add_node)


def commit(source: str, name: str, change: Callable[[Path], object]) -> None:
    """Make an image of another one and a change to its root."""
    container = run("buildah", "from", source).strip()
    change(Path(run("buildah", "mount", container).strip()))
    run("buildah", "commit", "--quiet", "--rm", container, name)


@contextmanager
def mounted(image: str) -> Iterator[Path]:
    """Give the root of an image."""
    container = run("buildah", "from", image).strip()
    try:
        yield Path(run("buildah", "mount", container).strip())
    finally:
        run("buildah", "rm", container)


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a command; return what it says. Its errors are shown."""
    settings = {"STORAGE_DRIVER": "overlay", "BUILDAH_ISOLATION": "chroot", **os.environ, **(env or {})}
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, env=settings).stdout


# --- weighing --------------------------------------------------------------------------------------------------------


def megabytes(path: Path) -> float:
    """Return what is below a folder."""
    return round(
        int(run("du", "--summarize", "--apparent-size", "--block-size=1", "--one-file-system", path).split()[0]) / 1e6
    )


def weights(root: Path) -> list[tuple[str, float]]:
    """Return the heaviest packages, and the rest of the system."""
    packages = next((root / "opt/cellfleet/lib").glob("python3*")) / "site-packages"
    found = sorted(((megabytes(path), path.name) for path in packages.iterdir() if path.is_dir()), reverse=True)
    system = megabytes(root) - megabytes(root / "opt")
    return [("Debian, Python", system), *((name, size) for size, name in found[:8])]


def pulled(image: str) -> float:
    """Return the size of an image as a registry keeps it, MB."""
    with tempfile.TemporaryDirectory() as folder:
        run("buildah", "push", "--quiet", image, f"dir:{folder}")
        return sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6


def configuration(image: str) -> dict[str, Any]:
    """Return variables and labels of an image, as OCI names them."""
    found: dict[str, Any] = json.loads(run("buildah", "inspect", "--type", "image", image))["OCIv1"]["config"]
    return found


# --- trying ----------------------------------------------------------------------------------------------------------


def try_out(root: Path, variables: Sequence[str]) -> list[str]:
    """Run what a cluster would run; return what was seen. Raises where something does not work."""
    with tempfile.TemporaryDirectory(prefix="cf-") as folder, ExitStack() as stack:
        store = Path(folder) / "store"
        shutil.copytree(
            ROOT / "src/cellfleet/samples", store / "in", ignore=shutil.ignore_patterns("*.py", "__*", "*.md")
        )
        for path in (store, *store.rglob("*")):
            os.chown(path, USER, USER)
        settings = {**os.environ, "ENVIRONMENT": " ".join(variables)}

        def sandboxed(*words: str) -> list[str]:
            return ["unshare", "--mount", "sh", "-c", SANDBOX, "sh", str(root), str(store), *words]

        def start(*command: str) -> None:
            process = stack.enter_context(subprocess.Popen(command, env=settings))
            stack.callback(process.terminate)

        seen = [run(*sandboxed("cellfleet", "--version"), env=settings).strip()]
        run(*sandboxed("sh", "-c", "test -z $HOME && ! touch /etc/x 2>/dev/null && touch /tmp/x"), env=settings)
        run(*sandboxed("cellfleet", "segment", "/tmp/store/in", "-o", "/tmp/store/out"), env=settings)
        seen.append(f"`segment` found {objects(store / 'out')} objects in the sample images")
        ledger, web = free_port(), free_port()
        start("redis-server", "--port", f"{ledger}", "--save", "", "--loglevel", "warning")
        wait_for(ledger)
        shared = ["--ledger", f"redis://127.0.0.1:{ledger}/0", "--store", "/tmp/store"]
        start(*sandboxed("cellfleet", "serve", *shared, "--workers", "0", "--data", "/tmp/data", "--port", f"{web}"))
        start(*sandboxed("cellfleet", "worker", *shared))
        wait_for(web)
        with urlopen(f"http://127.0.0.1:{web}/") as page:
            assert b"<script" in page.read(), "the image has no web page"
        ours, here = Path(sys.executable).with_name("cellfleet"), Path(folder) / "there"
        run(ours, "segment", store / "in", "-o", here, "--on", f"http://127.0.0.1:{web}")
        seen.append(f"`serve` and `worker` did a job of a client: {objects(here)} objects")
        return seen


def objects(out: Path) -> int:
    """Return how many objects a run found."""
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "done", record["status"]
    return sum(image["objects"] for image in record["images"])


def free_port() -> int:
    """Return a port of the loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, seconds: float = 120) -> None:
    """Return when somebody listens."""
    until = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    main()
