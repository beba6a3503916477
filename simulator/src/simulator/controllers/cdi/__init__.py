"""CDI: DataVolumes, and the claims that it fills by importing and cloning."""
