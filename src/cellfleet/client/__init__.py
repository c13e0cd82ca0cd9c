"""The Python client of the service: the same verbs as here, done there. Needs no library of the service."""
