"""Campaigns: worlds made from seeds, in which everything goes wrong that can, and in which every promise must hold all the same."""
