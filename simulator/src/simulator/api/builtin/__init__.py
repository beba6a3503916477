"""The built-in kinds: their names and columns, and what is asked of each beyond its types."""
