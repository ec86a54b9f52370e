"""From similarities to yes or no."""
