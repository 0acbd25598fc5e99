"""What those who run the shop ask: pure functions. Every command is answered once, and its repeats get that answer again."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from contracts.envelope import InvalidCommand
from contracts.inventory import (
    AdjustStock,
    CommandRefusal,
    CommandRejected,
    ReceiveStock,
    StockAdjusted,
    StockReceived,
)
from messaging.decision import Decision, Message, Outgoing
from services.inventory.ledger import Changes, CommandKey, Ledger, ShopAnswer, Stock

#: No sum of receipts or of corrections of one SKU goes beyond this.
MAX_SUM: Final = 10**15

ShopCommand = InvalidCommand | ReceiveStock | AdjustStock


def command_key(message: Message) -> CommandKey:
    """What tells a shop command from every other, whatever it holds."""
    return message.key, message.source, message.id


def decide_shop_command(
    ledger: Ledger, message: Message, data: ShopCommand, default_currency: str
) -> Decision[Changes]:
    """What follows from a shop command, or from a command of any kind that nobody can carry out."""
    recorded = ledger.answers.get(command_key(message))
    if recorded is not None:
        again = recorded.model_copy(update={"duplicate": True})
        return Decision(Changes(), (Outgoing(message.key, again),))
    row: Stock | None = None
    answer: ShopAnswer
    if isinstance(data, InvalidCommand):
        answer = _rejected(message, "invalid", data.message)
    elif data.sku != message.key:
        answer = _rejected(message, "invalid", "data.sku is not the record's key.")
    elif isinstance(data, ReceiveStock):
        row, answer = _receive(ledger.stock.get(data.sku), message, data, default_currency)
    else:
        row, answer = _adjust(ledger.stock.get(data.sku), message, data)
    changed = {row.sku: row} if row is not None else {}
    return Decision(Changes(changed, {}, {command_key(message): answer}), (Outgoing(message.key, answer),))


def _receive(
    row: Stock | None, message: Message, data: ReceiveStock, default_currency: str
) -> tuple[Stock | None, ShopAnswer]:
    if row is None and data.unit_price_minor is None:
        return None, _rejected(message, "invalid", f"{data.sku} is new: it needs a unit_price_minor.")
    known = row or Stock(data.sku, None, data.unit_price_minor or 0, default_currency)
    received = known.received + data.quantity
    if received > MAX_SUM:
        return None, _rejected(message, "invalid", f"No more than {MAX_SUM} pieces of a SKU can ever be received.")
    after = replace(
        known,
        received=received,
        unit_price_minor=data.unit_price_minor or known.unit_price_minor,
        currency=data.currency or known.currency,
        description=data.description or known.description,
    )
    answer = StockReceived(
        command_id=message.id,
        sku=data.sku,
        quantity=data.quantity,
        on_hand=after.on_hand,
        unit_price_minor=after.unit_price_minor,
        currency=after.currency,
        duplicate=False,
    )
    return after, answer


def _adjust(row: Stock | None, message: Message, data: AdjustStock) -> tuple[Stock | None, ShopAnswer]:
    if row is None:
        return None, _rejected(message, "unknown-sku", f"{data.sku} is not in the catalogue.")
    after = replace(row, adjusted=row.adjusted + data.delta)
    if after.on_hand < 0:
        return None, _rejected(
            message,
            "not-allowed",
            f"{data.sku} has {row.on_hand} on hand, beside {row.held} that are held: {-data.delta} cannot go.",
        )
    if abs(after.adjusted) > MAX_SUM:
        return None, _rejected(message, "invalid", f"A SKU's corrections cannot add up to more than {MAX_SUM}.")
    answer = StockAdjusted(
        command_id=message.id, sku=data.sku, delta=data.delta, on_hand=after.on_hand, duplicate=False
    )
    return after, answer


def _rejected(message: Message, reason: CommandRefusal, text: str) -> CommandRejected:
    return CommandRejected(
        command_id=message.id, command_type=message.type, reason=reason, message=text, duplicate=False
    )
