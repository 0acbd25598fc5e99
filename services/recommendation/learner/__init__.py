"""The stream processor that learns what is bought together from the orders that completed (Faust)."""
