"""Create, update, patch: one path for every kind from the body to the store."""
