"""Speech -> offsets of the face's mesh."""
