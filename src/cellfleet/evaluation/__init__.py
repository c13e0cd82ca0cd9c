"""Matching, F1, AP, PQ: used by training, tests, benchmarks and the command line. Knows no models."""
