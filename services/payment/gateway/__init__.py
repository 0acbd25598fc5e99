"""A simulated payment gateway: a party of its own, with a ledger that the payment service cannot touch and that outlives it.

`port` is all that the payment service needs to know; `simulated` implements it; `domain` holds the rules; `ledger` and `postgres`
keep the rows.
"""
