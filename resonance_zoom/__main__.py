"""`python -m resonance_zoom` is `resonance-zoom`."""

from resonance_zoom.cli import main

main()
