"""deepcell_toolbox's side of the comparison. Runs in a virtual environment of its own and obeys lines on stdin.

A request is one JSON line {"heads": path, "settings": {...}, "labels": path}; the answer is {"seconds": CPU seconds}.
"""

import json
import sys
import time

import numpy as np
from deepcell_toolbox.deep_watershed import deep_watershed

print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    heads = [np.float32(head[None, ..., None]) / np.float32(255) for head in np.load(request["heads"])]
    start = time.process_time()
    labels = deep_watershed(heads, maxima_index=0, interior_index=1, **request["settings"])
    seconds = time.process_time() - start
    np.save(request["labels"], labels[0, ..., 0].astype(np.uint32))
    print(json.dumps({"seconds": seconds}), flush=True)
