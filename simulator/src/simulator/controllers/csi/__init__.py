"""The CSI driver with its sidecars: volumes, their snapshots, what protects and what reclaims them."""
