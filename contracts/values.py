"""Constrained values. A value that passes here can be stored, sent and printed without another look."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

MAX_LINES: Final = 1_000
MAX_QUANTITY: Final = 1_000_000
MAX_TOTAL_MINOR: Final = 10**15
MAX_RECORD_BYTES: Final = 256 * 1024
MAX_APPROVAL_TIMEOUT_S: Final = 2_592_000
DEFAULT_CURRENCY: Final = "GBP"

# Unicode's "other" and "separator" classes hold the control, bidi and invisible characters, and every space but the plain one.
_PRINTABLE = r"^[^\p{C}\p{Z}](?:(?:[^\p{C}\p{Z}]| )*[^\p{C}\p{Z}])?$"

Id = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=_PRINTABLE)]
Sku = Id
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]
Email = Annotated[
    str, StringConstraints(min_length=3, max_length=254, pattern=r"^[^\p{C}\p{Z}@<>,;]+@[^\p{C}\p{Z}@<>,;]+$")
]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY)]
PriceMinor = Annotated[int, Field(ge=1, le=MAX_TOTAL_MINOR)]
AmountMinor = Annotated[int, Field(ge=0, le=MAX_TOTAL_MINOR)]
#: RFC 3339 with an offset.
RFC_3339: Final = (
    r"^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$"
)
_RFC_3339: Final = re.compile(RFC_3339)


def _as_written(value: object) -> object:
    """The value as it is, unless it is something that only pydantic takes for a time: a number of seconds, say, also as a text."""
    if isinstance(value, datetime) or (isinstance(value, str) and _RFC_3339.match(value)):
        return value
    raise ValueError("must be a time as RFC 3339 writes it, with an offset")


#: Whoever looks at the text before pydantic does has it parsed as a value from Python, where a strict time is no text.
Time = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_as_written)]
#: Far enough from the ends of the calendar that every clock, time zone and database can hold it.
Moment = Annotated[
    AwareDatetime,
    Field(strict=False, ge=datetime(2000, 1, 1, tzinfo=UTC), le=datetime(2200, 1, 1, tzinfo=UTC)),
    BeforeValidator(_as_written),
]

#: What kind of failure it was, as told by whoever failed and never guessed from a text. `permanent`: trying again cannot help;
#: `validation`: what was asked makes no sense to who was asked; `transient`: the next attempt may work; `unknown`: it is not even
#: known whether it was done. The list is closed.
FailureKind = Literal["permanent", "validation", "transient", "unknown"]

_ID: Final[TypeAdapter[str]] = TypeAdapter(Id)


def is_id(value: object) -> bool:
    """Whether `value` may be an id, a source or a subject: 1 to 64 printable characters without spaces at the ends."""
    try:
        _ID.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


class CommandData(BaseModel):
    """What a command asks. Strict: an unknown field, a number as text or a float as a count is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False)


class EventData(BaseModel):
    """What an event tells. It may grow: fields unknown to a reader are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True, allow_inf_nan=False)


class Item(CommandData):
    """So many pieces of a product."""

    sku: Sku
    quantity: Quantity


class PricedItem(EventData):
    """So many pieces of a product at the price that was frozen into the order; null before the stock is reserved."""

    sku: Sku
    quantity: Quantity
    unit_price_minor: PriceMinor | None = None
