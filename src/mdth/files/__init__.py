"""Files that nobody vouches for, read safely."""
