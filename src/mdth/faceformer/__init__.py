"""Speech to mesh. The public face is `export`."""
