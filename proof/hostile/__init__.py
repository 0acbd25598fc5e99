"""Hostile messages in bulk: made from the published schemas and bent in every way, and what may become of each."""
