"""Consume, decide, commit, publish: the message runtime that every service runs on. It knows nothing about orders."""
