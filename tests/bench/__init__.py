"""How long things take, beside references in the same run: `make bench`. Nothing here is a test."""
