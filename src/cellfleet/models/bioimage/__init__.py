"""bioimage.io packages as they are: what their description says → a manifest. Runs no code of a package."""
