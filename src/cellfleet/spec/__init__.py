"""What crosses a process boundary: frozen, versioned, unknown fields refused. Knows no arrays and no files."""
