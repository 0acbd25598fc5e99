"""What the learner tells about a SKU on `recommendation.pairs.v1`, and the reading of it. Pure."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.values import EventData, Sku

TYPE: Final = "recommendation.bought-together.v1"
CONTENT_TYPE: Final = "application/json"


class Pair(EventData):
    """So many orders held this SKU together with the one that is told about."""

    sku: Sku
    count: Annotated[int, Field(ge=1)]


class BoughtTogether(BaseModel):
    """The SKUs that were bought most often together with `sku`, the best first; of equals the first by code point. `orders`:
    how many orders held `sku` and something else."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)

    sku: Sku
    orders: Annotated[int, Field(ge=0)]
    best: tuple[Pair, ...]

    def encode(self) -> bytes:
        """The value of the record; its key is the SKU."""
        return self.model_dump_json().encode()


def read(value: bytes) -> BoughtTogether | None:
    """What the record tells, or None if it is not one of the learner's."""
    try:
        return BoughtTogether.model_validate_json(value)
    except ValidationError:
        return None


def headers() -> list[tuple[str, bytes]]:
    """The headers of such a record."""
    return [("content-type", CONTENT_TYPE.encode()), ("ce_type", TYPE.encode())]
