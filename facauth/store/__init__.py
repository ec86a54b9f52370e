"""The store of people, templates and events: its rules, without SQL."""
