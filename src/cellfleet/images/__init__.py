"""Image files and arrays as named planes of channels, with axes and pixel size. Knows no models."""
