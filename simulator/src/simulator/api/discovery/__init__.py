"""What is served: the registry of kinds, discovery and OpenAPI documents."""
