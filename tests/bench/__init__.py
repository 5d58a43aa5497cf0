"""How long things take: scripts to run by hand, no tests."""
