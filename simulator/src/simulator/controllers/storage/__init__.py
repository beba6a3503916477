"""What several parts read of storage: claims, how far they are filled, which snapshot class serves them."""
