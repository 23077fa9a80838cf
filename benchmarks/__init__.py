"""How fast: each module prints its figures with the machine that made them."""
