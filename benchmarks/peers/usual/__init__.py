"""The same saga the usual way: one message, one transaction; an outbox; every publish awaited. Written as well as that allows."""
