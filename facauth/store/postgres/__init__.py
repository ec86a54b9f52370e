"""PostgreSQL, an engine of the store: all SQL that only PostgreSQL has."""
