"""Face sign-in from the command line that refuses photos of photos."""

__version__ = "0.1.0"
