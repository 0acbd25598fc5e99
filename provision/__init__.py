"""The one-shot job before anything starts: the topics exist as the contracts want them, the databases are up to date."""
