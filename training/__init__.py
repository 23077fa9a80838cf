"""How the shipped weights are made. Nothing that serves imports it."""
