"""Level-triggered controllers that play KubeVirt, CDI, a CSI driver and a node, through the API alone."""
