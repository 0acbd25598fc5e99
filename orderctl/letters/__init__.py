"""Dead letters as an operator sees them: what was set aside, what became of it, and how it is sent again."""
