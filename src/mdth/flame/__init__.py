"""The FLAME head model: its files, its vertices, its landmarks."""
