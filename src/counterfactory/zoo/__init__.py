"""Zoo: small models trained by our own recipes."""
