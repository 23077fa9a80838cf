"""A clip's frames with another mouth: dubbing."""
