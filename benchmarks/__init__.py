"""Load and cost per order, measured on a stack of its own. Nothing in the tests asserts a speed; this is where it is looked at."""
