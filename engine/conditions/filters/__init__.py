"""Detectors that are formulas: no weights, OpenCV and numpy alone."""
