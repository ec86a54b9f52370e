"""Lets `python -m facauth` do what `facauth` does."""

from facauth.cli import main

main()
