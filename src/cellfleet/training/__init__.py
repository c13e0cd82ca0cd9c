"""Data sets, targets, augmentation, networks, the loop, and the export of a model package (extra ``[train]``)."""
