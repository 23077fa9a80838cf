"""Where twins live: the folders of the seed and the store they are kept in."""
