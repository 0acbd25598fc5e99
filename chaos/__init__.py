"""Kills, freezes and cuts a whole stack under load, on purpose, and has the audit say whether anything was lost."""
