"""Resonance Zoom runs a campaign of Zoom meetings and sees that everyone gets their own link."""

__version__ = "0.1.0"
