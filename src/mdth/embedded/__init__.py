"""The embedded engine: small networks of our own, on a CPU."""
