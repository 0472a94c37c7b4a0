"""ownlatent: bootstrap your own latent, from your own images."""
