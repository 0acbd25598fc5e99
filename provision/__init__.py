"""The one-shot job before the first start of a version: the topics exist as the contracts want them, the databases are up to date."""
