"""Print the OpenAPI document of the service, for the types of the web page (`make web-api`). Starts no server."""

from __future__ import annotations

import json
import sys
from typing import cast

from cellfleet.service.app import make_app
from cellfleet.service.state import Service


class _Nothing:
    """Stands for what the document does not depend on."""

    def __getattr__(self, name: str) -> _Nothing:
        return self


if __name__ == "__main__":
    json.dump(make_app(cast(Service, _Nothing())).openapi(), sys.stdout, indent=1, ensure_ascii=False)
