"""The web console: see every order, know why it waits, step in. It reads through the query APIs and acts by commands alone."""
