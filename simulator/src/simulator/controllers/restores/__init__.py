"""virt-controller: restores of virtual machines."""
