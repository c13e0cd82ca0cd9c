"""The compiled part of cellfleet; everything else stands in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import Extension, setup

# The same bits on every platform: no fused multiply-add, no reordering of sums. Vectorised loops need no traps.
GCC_FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-trapping-math"]
FLAGS = ["/O2", "/std:c11"] if sys.platform == "win32" else GCC_FLAGS

setup(
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
