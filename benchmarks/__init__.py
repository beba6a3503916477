"""How fast it is, always against an alternative in the same run: `make bench`."""
