"""Tiles → heads: who turns pixels into what the watershed reads. Knows no image files and no labels."""
