"""Measures a running installation: a load of images, and a model that is served. Reckons; simulates nothing."""
