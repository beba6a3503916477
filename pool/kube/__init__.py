"""The Kubernetes API as plain dicts: resources, one client, shared watches."""
