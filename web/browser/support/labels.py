"""Print a label image: `labels.py FILE`: height, width, and its labels as 32-bit numbers in base64."""

import base64
import sys

import tifffile

labels = tifffile.imread(sys.argv[1]).squeeze()
print(*labels.shape, base64.b64encode(labels.astype("<u4").tobytes()).decode())
