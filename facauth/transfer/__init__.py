"""Export and import of people as a file."""
