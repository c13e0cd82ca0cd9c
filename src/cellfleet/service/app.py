"""The application: all routes put together, errors turned into answers. See `cellfleet.service`."""

from __future__ import annotations

from fastapi import FastAPI

import cellfleet
from cellfleet.service.state import Service


def make_app(service: Service) -> FastAPI:
    """Return the application for one service. Starts nothing."""
    app = FastAPI(title="cellfleet", version=cellfleet.__version__)
    app.state.service = service
    return app
