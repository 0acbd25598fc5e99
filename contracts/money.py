"""Amounts as people read them. On the wire money is integer minor units and an ISO 4217 code."""

from __future__ import annotations

from typing import Final

_UNUSUAL: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
#: ISO 4217: how many digits of an amount stand behind the point. Currencies that are not listed have two.
EXPONENTS: Final = {code: digits for digits, codes in _UNUSUAL.items() for code in codes.split()}


def format_minor(amount_minor: int, currency: str) -> str:
    """An amount as people read it: `12.34 GBP`, `1234 JPY`, `1.234 KWD`."""
    digits = EXPONENTS.get(currency, 2)
    sign, amount = ("-" if amount_minor < 0 else ""), abs(amount_minor)
    if digits == 0:
        return f"{sign}{amount} {currency}"
    whole, rest = divmod(amount, 10**digits)
    return f"{sign}{whole}.{rest:0{digits}d} {currency}"
