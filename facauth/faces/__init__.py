"""From an image file to an encoding."""
