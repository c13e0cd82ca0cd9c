"""What pyproject.toml cannot say: the compiled part of cellfleet, and its web page, which needs node to be built."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

PAGE = Path("src/cellfleet/service/page/index.html")


class BuildWithPage(build_py):
    """Builds the web page where it is missing, so that every wheel has it; there is none without node or if told so."""

    def run(self):
        if not (self.editable_mode or PAGE.exists() or os.environ.get("CELLFLEET_BUILD_PAGE") == "no"):
            if shutil.which("npm"):
                subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd="web", check=True)
                subprocess.run(["npm", "run", "build"], cwd="web", check=True)
            else:
                self.warn("there is no npm on this machine: the package is built without its web page")
        super().run()


# The same bits on every platform: no fused multiply-add, no reordering of sums. Vectorised loops need no traps.
GCC_FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-trapping-math"]
FLAGS = ["/O2", "/std:c11"] if sys.platform == "win32" else GCC_FLAGS

setup(
    cmdclass={"build_py": BuildWithPage},
    ext_modules=[
        Extension(
            "cellfleet._native",
            sources=sorted(path.as_posix() for path in Path("native").glob("*.c")),
            depends=sorted(path.as_posix() for path in Path("native").glob("*.h")),
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            extra_compile_args=FLAGS,
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
