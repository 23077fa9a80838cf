"""Faces: tracking, topology, geometry, smoothing."""
