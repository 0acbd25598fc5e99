"""The test kit: write down a conversation with the system, and hold it in milliseconds under virtual time (docs/test-kit.md)."""

from simulation.kit.expectations import Saying, Unexpected
from simulation.kit.promises import check_promises
from simulation.kit.shop import SHELVES, Goods, Shop
from simulation.kit.words import (
    ORDER,
    Asked,
    add_line,
    adjust_stock,
    approve,
    cancel,
    cancel_by_operator,
    erase_customer,
    greet,
    pause,
    receive_stock,
    register_customer,
    resolve,
    resume,
    retry_now,
    start_order,
)

__all__ = [
    "ORDER",
    "SHELVES",
    "Asked",
    "Goods",
    "Saying",
    "Shop",
    "Unexpected",
    "add_line",
    "adjust_stock",
    "approve",
    "cancel",
    "cancel_by_operator",
    "check_promises",
    "erase_customer",
    "greet",
    "pause",
    "receive_stock",
    "register_customer",
    "resolve",
    "resume",
    "retry_now",
    "start_order",
]
