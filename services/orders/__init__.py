"""The orchestrator: each order is a durable workflow, decided by a closed table of (phase, message)."""
