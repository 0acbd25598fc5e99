"""The customers: who they are and how to reach them."""
