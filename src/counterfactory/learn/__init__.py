"""Learn: fit models whose latent variables are causes."""
