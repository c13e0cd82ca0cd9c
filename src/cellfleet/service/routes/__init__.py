"""One module per resource, each with a `router`. `service/app.py` puts them together."""
