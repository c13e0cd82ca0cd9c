"""Find, verify and load a model package; the bundled ones are under ``bundled/``. Knows no images.

A package is a folder with a bioimage.io ``rdf.yaml``; its ``config.cellfleet`` block is the `ModelManifest`.
"""

from cellfleet.models.load import (
    AnyModel,
    LoadedClassifier,
    LoadedModel,
    LoadedTranslator,
    bundled_names,
    load_classifier,
    load_model,
    read_declared,
    read_manifest,
)

__all__ = [
    "AnyModel",
    "LoadedClassifier",
    "LoadedModel",
    "LoadedTranslator",
    "bundled_names",
    "load_classifier",
    "load_model",
    "read_declared",
    "read_manifest",
]
