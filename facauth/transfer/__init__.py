"""People as a file: to keep a copy, or to move to another store."""
