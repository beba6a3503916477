"""virt-controller: snapshots of virtual machines."""
