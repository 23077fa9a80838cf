"""Mesh-Driving Talking Head."""
