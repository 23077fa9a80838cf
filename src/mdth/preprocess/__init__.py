"""From raw files to what inference needs: one module per kind."""
