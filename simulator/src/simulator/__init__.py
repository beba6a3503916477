"""A Kubernetes API with KubeVirt, CDI, a CSI driver, a node and guest clusters played on it."""
