"""What is told while it runs: console, stages, secrets left out."""
