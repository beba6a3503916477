"""virt-controller: virtual machines and their instances."""
