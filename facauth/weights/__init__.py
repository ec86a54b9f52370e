"""The weights of the networks, their manifest, model card and licences; what makes them."""
