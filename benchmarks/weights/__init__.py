"""Makes the networks of facauth/weights: compiles published ones, fine-tunes two of them."""
