"""SQLite, the engine of the store: all SQL, and all that only SQLite has."""
