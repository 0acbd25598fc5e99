"""Histories that were simulated in memory are lived again on PostgreSQL: the same calls on the same worker give the same rows."""
