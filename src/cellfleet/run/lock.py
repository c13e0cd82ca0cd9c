"""The name under which a run knows `stores.lock`. Knows nothing itself."""

from cellfleet.stores.lock import locked

__all__ = ["locked"]
