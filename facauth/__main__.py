"""Lets `python -m facauth` do what `facauth` does."""

from facauth.cli import main

if __name__ == "__main__":  # and not where spoof-check starts another process
    main()
