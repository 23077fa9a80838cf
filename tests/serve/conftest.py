"""Fixtures for what a server is asked."""

from serving import portrait, serve, speech

__all__ = ["portrait", "serve", "speech"]
