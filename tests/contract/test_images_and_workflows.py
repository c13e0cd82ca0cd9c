"""What the container images are built from, and what runs on a push or a tag: read, not run.

`make images` and `benchmarks/images` do build and try the images.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "deploy" / "images"
DOCKERFILES = ("Dockerfile", "Dockerfile.gpu")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
Instruction = tuple[str, str]


def instructions(name: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile, continued lines joined, without comments."""
    lines = [line for line in (IMAGES / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [(word, rest.strip()) for word, _, rest in found]


def last_stage(name: str) -> list[Instruction]:
    """Return what makes the image itself."""
    found = instructions(name)
    begin = max(place for place, (word, _) in enumerate(found) if word == "FROM")
    return found[begin:]


def workflow(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in workflow(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_bases_are_pinned_by_digest_and_can_be_replaced(name: str) -> None:
    found = instructions(name)
    arguments = dict(rest.partition("=")[::2] for word, rest in found if word == "ARG")
    stages = {rest.partition(" AS ")[2] for word, rest in found if word == "FROM"}
    bases = {rest.partition(" AS ")[0] for word, rest in found if word == "FROM"} - stages
    assert bases
    for base in bases:
        match = re.fullmatch(r"\$\{(\w+)\}", base)
        assert match, base
        pinned = arguments[match[1]]
        assert re.fullmatch(r"docker\.io/library/[a-z0-9:.-]+@sha256:[0-9a-f]{64}", pinned) or match[1] == "CELLFLEET"


@pytest.mark.parametrize("name", DOCKERFILES)
def test_nobody_is_root_in_an_image(name: str) -> None:
    users = [rest for word, rest in last_stage(name) if word == "USER"]
    assert users[-1] == "1000:1000"


def test_an_image_is_the_command() -> None:
    assert ("ENTRYPOINT", '["cellfleet"]') in last_stage("Dockerfile")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_no_installer_and_no_secret_stays_in_an_image(name: str) -> None:
    for word, rest in last_stage(name):
        assert not re.search(r"apt-get|system\.sh|pip |npm|gcc|--mount", rest), (word, rest)
    for word, rest in instructions(name):
        if word in {"ARG", "ENV"}:
            assert not re.search(r"password|token|secret|key=|://[^/]*@", rest, re.IGNORECASE), rest
        assert "trusted-host" not in rest
        assert "index-url" not in rest


@pytest.mark.parametrize("name", DOCKERFILES)
def test_everything_that_is_copied_is_committed(name: str) -> None:
    committed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    files = committed.splitlines()
    mounted = [
        source for word, rest in instructions(name) if word == "RUN" for source in re.findall(r"source=([^,\s]+)", rest)
    ]
    copied = [rest for word, rest in instructions(name) if word == "COPY" and "--from=" not in rest]
    for source in [*mounted, *(part for rest in copied for part in shlex.split(rest)[:-1])]:
        assert any(file == source or file.startswith(f"{source}/") for file in files), source


@pytest.mark.parametrize("name", DOCKERFILES)
def test_libraries_are_installed_by_hash_from_lists(name: str) -> None:
    for word, rest in instructions(name):
        if word == "RUN":
            for command in re.findall(r"pip (?:--python \S+ )?install [^&]*", rest):
                assert "--require-hashes" in command or "/wheels/" in command, command


def test_the_list_of_an_image_holds_what_the_tests_were_run_with() -> None:
    """The list is made with that of the tests as its bound."""
    image, tested = (versions(f"requirements/{name}.txt") for name in ("image", "dev"))
    assert {name: found for name, found in image.items() if not found <= tested.get(name, found)} == {}


def test_an_image_has_what_a_service_and_its_workers_need() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    wanted = [need for extra in ("server", "cluster", "triton", "readers") for need in extras[extra]]
    names = {re.split(r"[\[><=; ]", need)[0].lower() for need in wanted}
    assert names <= versions("requirements/image.txt").keys()
    assert "onnxruntime-gpu" in versions("requirements/image-gpu.txt")


def versions(path: str) -> dict[str, set[str]]:
    """Return the versions that a hashed list names, for whatever platform."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(name.lower(), set()).add(version)
    return found


# --- workflows -------------------------------------------------------------------------------------------------------


def test_there_is_a_workflow_for_all_that_is_published() -> None:
    assert [path.stem for path in WORKFLOWS] == ["chart", "images", "test", "wheels"]
    for name in ("chart", "images", "wheels"):
        assert "v*" in str(workflow(ROOT / f".github/workflows/{name}.yml")["on"]["push"]["tags"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_hash_and_rights_are_few(path: Path) -> None:
    found = workflow(path)
    assert found["permissions"] == {"contents": "read"}
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
    text = path.read_text(encoding="utf-8")
    assert "secrets." not in text
    assert text.count("uses: ") == len(re.findall(r"uses: \S+ # v\d", text)), "the version stands beside the hash"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_workflow_calls_is_there(path: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for step in steps(path):
        for line in step.get("run", "").splitlines():
            words = shlex.split(line)
            if words[0] == "make":
                assert set(words[1:]) <= targets, line
            for word in words:
                assert not word.startswith("scripts/") or (ROOT / word).is_file(), line
            assert "${{" not in line, "what others choose comes in by the environment, not by the text of a command"


def test_a_tag_of_another_version_publishes_nothing() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    script = ROOT / "scripts" / "check_tag.sh"
    assert subprocess.run(["bash", script, f"v{version}"], check=False, capture_output=True).returncode == 0
    assert subprocess.run(["bash", script, "v0.0.1"], check=False, capture_output=True).returncode == 1
    for name in ("chart", "images", "wheels"):
        assert any("check_tag.sh" in step.get("run", "") for step in steps(ROOT / f".github/workflows/{name}.yml"))
