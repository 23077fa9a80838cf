"""Nodes for ComfyUI; see README.md."""

from .nodes import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
