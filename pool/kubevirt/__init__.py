"""KubeVirt: a cluster's VMs, their golden snapshots, restores and volumes."""
