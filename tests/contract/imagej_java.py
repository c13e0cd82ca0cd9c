"""The real ImageJ for tests: programs of tests/contract/imagej in a headless Java process.

ImageJ is the Debian package libij-java; CELLFLEET_IJ_JAR names another ij.jar.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_SOURCES = Path(__file__).parent / "imagej"


def run_java(program: str, classes: Path, *words: object) -> str:
    """Compile `program` into the folder `classes` and run it; return what it prints."""
    source = _SOURCES / f"{program}.java"
    subprocess.run([_tool("javac"), "-encoding", "UTF-8", "-cp", _jar(), "-d", str(classes), str(source)], check=True)
    class_path = os.pathsep.join([str(classes), _jar()])
    command = [_tool("java"), "-Xmx512m", "-Djava.awt.headless=true", "-cp", class_path, program, *map(str, words)]
    # Java reads file names and prints in the locale's encoding.
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, encoding="utf-8", env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _tool(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is not installed: `apt-get install default-jdk-headless` (this test never skips)"
    return found


def _jar() -> str:
    jar = Path(os.environ.get("CELLFLEET_IJ_JAR", "/usr/share/java/ij.jar"))
    assert jar.exists(), f"{jar} is missing: `apt-get install libij-java`, or set CELLFLEET_IJ_JAR (never skips)"
    return str(jar)
