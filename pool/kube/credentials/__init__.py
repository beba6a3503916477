"""What is shown to an API server: kubeconfigs as kubectl reads them, and the sources of what they name."""
