"""The names under which results and commands know `stores.atomic`. Knows nothing itself."""

from cellfleet.stores.atomic import output_error, replacing, sweep, write_bytes

__all__ = ["output_error", "replacing", "sweep", "write_bytes"]
