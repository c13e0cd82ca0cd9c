"""Cutting up an image: pure geometry."""
