"""Virtual machines from the inside: disks with content, cloud-init, kubeadm, a guest API, kubelets."""
