"""Stands where the container of deepcell-applications has its program, for pipelines that call it by its path.

``python /usr/src/app/run_app.py mesmer …`` is ``cellfleet mesmer …``.
"""

import sys

from cellfleet.cli import main

sys.exit(main())
