"""The page and the HTTP API: another door to the same pipeline, for `facauth serve`."""
