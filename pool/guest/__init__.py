"""The clusters inside the VMs: their identity, first boot, kubeconfig and health."""
