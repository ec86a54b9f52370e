"""What is kept: people, templates, events."""
