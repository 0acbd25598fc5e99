"""Charges and refunds: takes money through a gateway, and never twice."""
