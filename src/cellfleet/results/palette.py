"""Colours for labels: 255 that are easy to tell apart on black, as a constant. Knows no image and no file format.

Chosen once in the way of Glasbey et al. (2007, "Colour displays for categorical images"): greedily the colour farthest
from all before it in OKLab (lightness counted ¾, 0.52…0.93; no greys), then ordered so that each differs clearly
from the five before it, because consecutive labels are often neighbours in the image.
"""

from __future__ import annotations

import numpy as np

_HEX = (
    "2db4ffff000000ff00d200ff5a7800ffd2964b3cff965a87f0a5ff3cffe1ff0fa5007896d2870087c35a9678ffe1f000c3e1ffc3005a"
    "ff5afff0788700a5002d78e1871ee1e1c31e4be1ffa54b0fffb4c300d200008769b400a5b4ffa5695ab4d24b4bffa54ba596c378693c"
    "00b4a596e100d2f0d2ff0f69c35af0b4b4ffb47869b4a51e3cf087ff690fd23c9696d2b46996ffffd2ff4ba55a964bc3a5782dff69b4"
    "c3c3785a96c3f000d200d2965a5ae1d2692d008700ffe15ac387f04b969696f0f0005af0d20000b400d2d2a587a578c3c3e16900c3e1"
    "00c35aa54b5a879600d2b4d27878d2a5ff69d269c33cd2c3ff5a5a879669a54bff3c69b487c3ffa53c87ff87e187e196b4965aff00ff"
    "784bff7878a5e14b78e196c396d2e169b400e1a5006978ffff4bd27800ffa57896ffd2d269ffb478b4870096f0e178ffff9678a500ff"
    "5a6987e1f09687b4c3e10078b4c300ff96a5784bd25a785a96f0c387a5e1e10f4b87ff1eff8700d23cc378873c9669690087c3d2d2a5"
    "4bf04ba596ffe13cf0e14b005a960000a5c3ffc35a875aa5c396a5d200a5c33c0069d24b3c7878ff5a87a569e1e1b469d200d2b45a4b"
    "78a596c387c3f0785a5a87d2ffb496b43cc3b44b7800f0f05a966996e1694b78a5ffb4f0d2875ae15ae1b496e100964b4be1b4c3ff00"
    "e1d278d26969f069d2e1c3ff5ab4e1c30f8796a55a96785ae19696ff78ff8787f0b4c3f0c31e3c96b400a53ca5ffe1c3e178b48787c3"
    "ff4b1e3c87ffa58700b42df0b4e1d2e15aa5c3e11ed2a5e14b69ff965a3c962dc378e1d2f03c9669ff7800a5e1e1b4b4e187e18769e1"
    "4b874bf03c4be1f0694bb4c3e1964bff87b4964be1876987876900b4e1a500a57887a5ffb43c3cff4bb4b45ac369fffff0c3e15a8778"
    "a5d278b4692d5a69d2c33ce178c3e1ff0087d2a5ff00e15a965a002d8796b45aa5e1c3a578a54be1780fb478ff78c3b46987a5964b96"
    "ffe1870078ffd287a596874b4bd2e1e10f968769c3c3c34b009687c36987f0a5785ac378875a696969a5c3960fa5b487e16996c33c5a"
    "c38787a569a596c387"
)


def label_colours() -> np.ndarray:
    """Return the colours of display values 0…255 as uint8 (256, 3), red green blue; 0 is black."""
    colours = np.frombuffer(bytes.fromhex(_HEX), np.uint8).reshape(255, 3)
    return np.concatenate([np.zeros((1, 3), np.uint8), colours])
