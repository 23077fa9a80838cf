"""Mesh to frames. The public face is `export`."""
