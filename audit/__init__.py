"""The promises of the system as pure rules over facts (`audit.rules`), and what loads the facts from a running system."""
