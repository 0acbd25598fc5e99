"""Reading a CSV of invoice lines, and what each of its rows is: one that can be ordered, or one refused with a reason.

A row is a line of the file. Every line is parsed by itself, so that a stray quote spoils its own line and
cannot swallow the next ones.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Final

from contracts.values import MAX_QUANTITY, MAX_TOTAL_MINOR, is_id

COLUMNS: Final = ("InvoiceNo", "StockCode", "Description", "Quantity", "UnitPrice", "CustomerID")
"""The columns that must be there, in any order. Others are ignored."""

ORDER_PREFIX: Final = "INV-"
CUSTOMER_PREFIX: Final = "CUST-"
GUEST: Final = "guest"

NOT_GOODS: Final = frozenset(
    (
        "POST",
        "DOT",
        "C2",
        "C3",
        "CARRIAGE",
        "D",
        "M",
        "S",
        "B",
        "BANK CHARGES",
        "AMAZONFEE",
        "CRUK",
        "ADJUST",
        "ADJUST2",
    )
)
"""Codes of charges, discounts and bookings, in capitals; docs/import.md says what each one is."""
_VOUCHERS: Final = "GIFT_0001"

_WHOLE_NUMBER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DECIMAL_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)", re.ASCII)
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_DECIMALS: Final = 2  # of pounds sterling
_SHOWN: Final = 40


class Reason(StrEnum):
    """Why a row was refused. The vocabulary is closed. A row has one reason: the first that fits, in this order."""

    MALFORMED = "malformed"
    NO_INVOICE = "no-invoice"
    BAD_INVOICE = "bad-invoice"
    CANCELLATION = "cancellation"
    BAD_SKU = "bad-sku"
    NOT_GOODS = "not-goods"
    BAD_CUSTOMER = "bad-customer"
    NEGATIVE_QUANTITY = "negative-quantity"
    NO_QUANTITY = "no-quantity"
    NEGATIVE_PRICE = "negative-price"
    NO_PRICE = "no-price"
    FRACTION_OF_A_PENNY = "fraction-of-a-penny"
    BEYOND_LIMITS = "beyond-limits"
    OTHER_CUSTOMER = "other-customer"
    ORDER_BEYOND_LIMITS = "order-beyond-limits"


_Problem = tuple[Reason, str]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of goods that can be ordered: within the contract's limits, its SKU in capitals.

    `customer` is as in the file, or None.
    """

    line: int
    invoice: str
    sku: str
    description: str
    quantity: int
    price_minor: int
    customer: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that cannot be ordered. `invoice` and `sku` are empty where they cannot be read or printed."""

    line: int
    reason: Reason
    detail: str
    invoice: str = ""
    sku: str = ""


class ImportFileError(Exception):
    """The file as a whole cannot be imported. `line` is where, or None where it is the file itself."""

    def __init__(self, path: Path, message: str, line: int | None = None) -> None:
        super().__init__(f"{path}: {message}" if line is None else f"{path}, line {line}: {message}")
        self.path = path
        self.line = line


class UnreadableFileError(ImportFileError):
    """There is no such file, or it may not be read."""


class EmptyFileError(ImportFileError):
    """The file has no rows."""


class MissingColumnsError(ImportFileError):
    """The first line does not name the columns that are needed, each once. `columns` are the ones in question."""

    def __init__(self, path: Path, message: str, columns: tuple[str, ...]) -> None:
        super().__init__(path, message, 1)
        self.columns = columns


class NotUtf8Error(ImportFileError):
    """A line is not UTF-8."""


def read_rows(path: Path) -> Iterator[Row | Refused]:
    """Each row of the file, once, in the file's order. Blank lines are no rows.

    Raises an `ImportFileError` while being read where the file as a whole cannot be used.
    """
    lines = _text_lines(path)
    header = next(lines, None)
    if header is None:
        raise EmptyFileError(path, f"the file is empty; its first line must name the columns {', '.join(COLUMNS)}")
    names = [name.strip() for name in _cells(header[1]) or ()]
    places = _places(path, names)
    rows = 0
    for number, text in lines:
        rows += 1
        cells = _cells(text)
        if cells is None:
            yield Refused(
                number, Reason.MALFORMED, "it is no CSV: an open quote, a stray line break or an endless cell"
            )
        elif len(cells) != len(names):
            yield Refused(number, Reason.MALFORMED, f"it has {len(cells)} cells and the header has {len(names)}")
        else:
            yield classify(number, [cells[place].strip() for place in places])
    if not rows:
        raise EmptyFileError(path, "the file has a header and no rows; there is nothing to import")


def classify(line: int, cells: Sequence[str]) -> Row | Refused:
    """What a row is, from its cells in the order of `COLUMNS`, without spaces at their ends."""
    invoice, code, description, quantity_text, price_text, customer = cells
    sku = code.upper()
    quantity, price = _quantity(quantity_text), _price(price_text)

    def refused(problem: _Problem) -> Refused:
        reason, detail = problem
        readable_invoice = invoice if _may_be_id(ORDER_PREFIX + invoice) else ""
        return Refused(line, reason, detail, readable_invoice, sku if _may_be_id(sku) else "")

    if quantity is None:
        return refused((Reason.MALFORMED, f"the quantity {_show(quantity_text)} is not a whole number"))
    if price is None:
        return refused((Reason.MALFORMED, f"the price {_show(price_text)} is not a decimal number"))
    price_minor, flaw = price
    problem = _bad_invoice(invoice) or _bad_name(sku, customer) or _bad_numbers(quantity, flaw)
    if problem is not None:
        return refused(problem)
    return Row(line, invoice, sku, description, quantity, price_minor, customer or None)


def _bad_invoice(invoice: str) -> _Problem | None:
    if not invoice:
        return Reason.NO_INVOICE, "it belongs to no invoice"
    if not _may_be_id(ORDER_PREFIX + invoice):
        return Reason.BAD_INVOICE, f"the invoice number {_show(invoice)} cannot be a part of an order id"
    if invoice[0] in "Cc":
        return Reason.CANCELLATION, "the invoice cancels goods that were sold earlier"
    return None


def _bad_name(sku: str, customer: str) -> _Problem | None:
    if not _may_be_id(sku):
        return Reason.BAD_SKU, f"the code {_show(sku)} is not 1 to 64 printable characters"
    if sku in NOT_GOODS or sku.startswith(_VOUCHERS):
        return Reason.NOT_GOODS, f"{sku} is a charge, a discount or a booking"
    if customer and not _may_be_id(CUSTOMER_PREFIX + customer):
        return Reason.BAD_CUSTOMER, f"the customer {_show(customer)} cannot be a part of a customer id"
    return None


def _bad_numbers(quantity: int, price_flaw: _Problem | None) -> _Problem | None:
    if quantity < 0:
        return Reason.NEGATIVE_QUANTITY, "a negative quantity is a correction of the stock or goods that came back"
    if quantity == 0:
        return Reason.NO_QUANTITY, "the quantity is 0"
    if price_flaw is not None:
        return price_flaw
    if quantity > MAX_QUANTITY:
        return Reason.BEYOND_LIMITS, f"the quantity is above {MAX_QUANTITY}"
    return None


@lru_cache(maxsize=8192)
def _quantity(text: str) -> int | None:
    """The number, or None where it is none; one with very many digits is read as some number beyond the limits."""
    if not _WHOLE_NUMBER.fullmatch(text):
        return None
    # int() refuses texts of thousands of digits, and reads long ones slowly.
    digits, sign = text.lstrip("+-0"), -1 if text[0] == "-" else 1
    return sign * (MAX_QUANTITY + 1 if len(digits) > 18 else int(digits or "0"))


@lru_cache(maxsize=8192)
def _price(text: str) -> tuple[int, _Problem | None] | None:
    """The price in pence and what is wrong with it (it is 0 then), or None where the text is no decimal number."""
    if not _DECIMAL_NUMBER.fullmatch(text):
        return None
    whole, _, decimals = text.partition(".")
    decimals = decimals.rstrip("0")
    negative, whole = whole.startswith("-"), whole.lstrip("+-0")
    if not whole and not decimals:
        return 0, (Reason.NO_PRICE, "the price is 0")
    if negative:
        return 0, (Reason.NEGATIVE_PRICE, "the price is negative")
    if len(decimals) > _DECIMALS:
        return 0, (Reason.FRACTION_OF_A_PENNY, "the price is not in whole pence, and prices are not rounded")
    # Looked at before Decimal multiplies: its context rounds beyond 28 digits.
    if len(whole) <= 18:
        minor = int(Decimal(f"{whole or '0'}.{decimals or '0'}").scaleb(_DECIMALS))
        if minor <= MAX_TOTAL_MINOR:
            return minor, None
    return 0, (Reason.BEYOND_LIMITS, f"the price is above {MAX_TOTAL_MINOR} pence")


_may_be_id = lru_cache(maxsize=65536)(is_id)


def _show(text: str) -> str:
    """The text for a message: quoted, what does not print escaped, short."""
    return ascii(text) if len(text) <= _SHOWN else ascii(text[:_SHOWN]) + "..."


def _text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The file's lines that are not blank, decoded, with their numbers."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                text = _decoded(path, number, raw.removeprefix(_UTF8_BOM) if number == 1 else raw)
                if text:
                    yield number, text
    except OSError as error:
        raise UnreadableFileError(path, f"the file cannot be read: {error.strerror or error}") from error


def _decoded(path: Path, number: int, raw: bytes) -> str:
    try:
        return raw.decode("utf-8").strip("\r\n \t")
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        message = f"byte {error.start + 1} (0x{byte:02x}) is not UTF-8; save the file as UTF-8 and try again"
        raise NotUtf8Error(path, message, number) from None


def _cells(text: str) -> list[str] | None:
    """The cells of one line, or None where it is not CSV."""
    try:
        return next(csv.reader((text,), strict=True), [])
    except csv.Error:
        return None


def _places(path: Path, names: Sequence[str]) -> list[int]:
    """Where in a row the columns stand."""
    missing = tuple(column for column in COLUMNS if column not in names)
    if missing:
        found = _show(",".join(names))
        message = f"the first line must name the columns of the file; missing: {', '.join(missing)}; found: {found}"
        raise MissingColumnsError(path, message, missing)
    twice = tuple(column for column in COLUMNS if names.count(column) > 1)
    if twice:
        raise MissingColumnsError(path, f"the first line names a column twice: {', '.join(twice)}", twice)
    return [names.index(column) for column in COLUMNS]
