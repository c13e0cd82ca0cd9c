"""cellfleet: deep-learning models over microscopy images. Start with `cellfleet.segment`."""

__version__ = "0.1.0"
