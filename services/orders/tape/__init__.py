"""An order's tape: everything that is on record about it, whoever has it, as one timeline in causal order. Pure."""

from services.orders.tape.assemble import Facts, assemble

__all__ = ["Facts", "assemble"]
