"""A package, so that its files may be called as those of the rooms are."""
