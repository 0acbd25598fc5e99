"""Long runs that throw at the system what a test has no time for: each a command with seed, progress, result and exit code."""
