"""Mails to the customer about how an order ended. Best effort: an order never waits for them."""
