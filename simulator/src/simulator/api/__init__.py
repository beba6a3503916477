"""A library of a Kubernetes API server: enough of it that kubectl and the official clients work unchanged.

The host cluster is one `ApiServer`; every simulated guest control plane is another one.
"""
