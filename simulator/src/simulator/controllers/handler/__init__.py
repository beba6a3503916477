"""virt-handler of the one node: guests run in the instances there."""
