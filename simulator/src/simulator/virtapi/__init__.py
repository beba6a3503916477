"""virt-api, and the admission that KubeVirt, CDI and the storage add to an API server."""
