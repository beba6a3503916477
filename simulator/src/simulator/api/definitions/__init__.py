"""CustomResourceDefinitions: what is wrong with them, and the kinds that they make."""
