"""Semantic-guided two-stage face inpainting (arXiv 2512.05039) that a person can see and steer."""

from .pipeline import FaceInpainter, Result

__all__ = ["FaceInpainter", "Result"]
