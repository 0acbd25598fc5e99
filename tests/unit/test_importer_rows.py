"""Reading the file: what each row is, and which files are refused as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from orderctl.importer.rows import (
    COLUMNS,
    EmptyFileError,
    ImportFileError,
    MissingColumnsError,
    NotUtf8Error,
    Reason,
    Refused,
    Row,
    UnreadableFileError,
    classify,
    read_rows,
)

HEADER = ",".join(COLUMNS)


def _read(folder: Path, content: str | bytes) -> list[Row | Refused]:
    file = folder / "lines.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_rows(file))


def _row(
    *, invoice: str = "536365", sku: str = "85123A", quantity: str = "6", price: str = "2.55", customer: str = "17850"
) -> Row | Refused:
    return classify(2, (invoice, sku, "LANTERN", quantity, price, customer))


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"quantity": ""}, Reason.MALFORMED),
        ({"quantity": "6.0"}, Reason.MALFORMED),
        ({"quantity": "1_000"}, Reason.MALFORMED),
        ({"quantity": "٣"}, Reason.MALFORMED),
        ({"price": ""}, Reason.MALFORMED),
        ({"price": "."}, Reason.MALFORMED),
        ({"price": "1e3"}, Reason.MALFORMED),
        ({"price": "NaN"}, Reason.MALFORMED),
        ({"price": "2,55"}, Reason.MALFORMED),
        ({"invoice": ""}, Reason.NO_INVOICE),
        ({"invoice": "5" * 61}, Reason.BAD_INVOICE),
        ({"invoice": "53\u202e65"}, Reason.BAD_INVOICE),
        ({"invoice": "C536379"}, Reason.CANCELLATION),
        ({"invoice": "c536379", "quantity": "-1"}, Reason.CANCELLATION),
        ({"invoice": "C536379", "sku": "D"}, Reason.CANCELLATION),
        ({"sku": ""}, Reason.BAD_SKU),
        ({"sku": "8" * 65}, Reason.BAD_SKU),
        ({"sku": "85\x00123"}, Reason.BAD_SKU),
        ({"sku": "POST"}, Reason.NOT_GOODS),
        ({"sku": "m"}, Reason.NOT_GOODS),
        ({"sku": "BANK CHARGES"}, Reason.NOT_GOODS),
        ({"sku": "gift_0001_20"}, Reason.NOT_GOODS),
        ({"customer": "1" * 60}, Reason.BAD_CUSTOMER),
        ({"quantity": "-10", "price": "0"}, Reason.NEGATIVE_QUANTITY),
        ({"quantity": "-" + "9" * 5000}, Reason.NEGATIVE_QUANTITY),
        ({"quantity": "0"}, Reason.NO_QUANTITY),
        ({"quantity": "-0"}, Reason.NO_QUANTITY),
        ({"price": "-11062.06"}, Reason.NEGATIVE_PRICE),
        ({"price": "0"}, Reason.NO_PRICE),
        ({"price": "-0.00"}, Reason.NO_PRICE),
        ({"price": "0.001"}, Reason.FRACTION_OF_A_PENNY),
        ({"price": "10000000000000.01"}, Reason.BEYOND_LIMITS),
        ({"price": "9" * 5000}, Reason.BEYOND_LIMITS),
        ({"quantity": "1000001"}, Reason.BEYOND_LIMITS),
        ({"quantity": "9" * 5000}, Reason.BEYOND_LIMITS),
    ],
)
def test_a_row_that_cannot_be_ordered_has_one_reason(cells: dict[str, str], reason: Reason) -> None:
    found = _row(**cells)
    assert isinstance(found, Refused)
    assert found.reason is reason
    assert found.detail.isprintable()
    assert len(found.detail) < 400


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("2.55", 255),
        ("19.99", 1999),
        ("18", 1800),
        ("27.5", 2750),
        (".5", 50),
        ("5.", 500),
        ("+0.01", 1),
        ("2.5500000", 255),
        ("000000000000000000000001.10", 110),
        ("10000000000000", 10**15),
    ],
)
def test_prices_are_read_in_whole_pence_without_floats(text: str, minor: int) -> None:
    found = _row(price=text)
    assert isinstance(found, Row)
    assert found.price_minor == minor


@pytest.mark.parametrize(("text", "quantity"), [("1", 1), ("+6", 6), ("0" * 5000 + "6", 6), ("1000000", 1_000_000)])
def test_quantities_up_to_the_limit_are_taken(text: str, quantity: int) -> None:
    found = _row(quantity=text)
    assert isinstance(found, Row)
    assert found.quantity == quantity


def test_codes_are_read_in_capitals() -> None:
    assert _row(sku="85123a") == _row(sku="85123A")


def test_names_that_do_not_print_are_not_repeated() -> None:
    assert _row(invoice="\x1b[2J", sku="\x1b[31m") == Refused(
        2, Reason.BAD_INVOICE, "the invoice number '\\x1b[2J' cannot be a part of an order id"
    )


def test_columns_may_stand_in_any_order_with_others_between(tmp_path: Path) -> None:
    text = "Country,UnitPrice,CustomerID,Quantity,Description,StockCode,InvoiceNo\nEIRE,2.55,17850,6,LANTERN,85123A,536365\n"
    assert _read(tmp_path, text) == [Row(2, "536365", "85123A", "LANTERN", 6, 255, "17850")]


def test_bom_crlf_spaces_quotes_and_a_missing_last_line_end_are_harmless(tmp_path: Path) -> None:
    text = f'\ufeff{HEADER}\r\n\r\n 536365 ,85123A ," 7"" FRAME, RED ",6,2.55,\r\n536365,71053,LAMP,1,3.39,17850'
    assert _read(tmp_path, text) == [
        Row(3, "536365", "85123A", '7" FRAME, RED', 6, 255, None),
        Row(4, "536365", "71053", "LAMP", 1, 339, "17850"),
    ]


@pytest.mark.parametrize(
    "bad",
    [
        '1,2,"OPEN,6,2.55,17850',
        '1,2,"OPEN"X,6,2.55,17850',
        "1,2,LAMP,6,2,55,17850",
        "1,2,LAMP",
        "1,2,LA\rMP,6,2.55,17850",
        f"1,2,{'X' * 200_000},6,2.55,17850",
    ],
)
def test_a_spoilt_line_spoils_no_other(tmp_path: Path, bad: str) -> None:
    good = "536365,85123A,LANTERN,6,2.55,17850"
    before, spoilt, after = _read(tmp_path, f"{HEADER}\n{good}\n{bad}\n{good}\n")
    assert isinstance(before, Row)
    assert isinstance(after, Row)
    assert isinstance(spoilt, Refused)
    assert (spoilt.reason, spoilt.line) == (Reason.MALFORMED, 3)


def test_a_file_that_is_not_utf8_is_refused_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(NotUtf8Error, match=r"line 3: byte 8 \(0xe9\) is not UTF-8") as caught:
        _read(tmp_path, f"{HEADER}\n1,2,LAMP,1,1,\n1,2,CAF".encode() + b"\xe9,1,1,\n")
    assert caught.value.line == 3


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingColumnsError, match="missing: UnitPrice, CustomerID") as caught:
        _read(tmp_path, "InvoiceNo,StockCode,Description,Quantity\n1,2,LAMP,1\n")
    assert caught.value.columns == ("UnitPrice", "CustomerID")


def test_a_column_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingColumnsError, match="twice: Quantity"):
        _read(tmp_path, f"{HEADER},Quantity\n")


@pytest.mark.parametrize(
    "content", [b"", b"\xef\xbb\xbf", b"\r\n \r\n", f"{HEADER}\n".encode(), f"{HEADER}\n\n".encode()]
)
def test_a_file_without_rows_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(EmptyFileError):
        _read(tmp_path, content)


def test_a_path_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(UnreadableFileError, match="cannot be read") as caught:
            list(read_rows(path))
        assert isinstance(caught.value, ImportFileError)
        assert caught.value.path == path
