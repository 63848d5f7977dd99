"""Detectors of the package controlnet-aux, imported on first use, with its faults contained."""
