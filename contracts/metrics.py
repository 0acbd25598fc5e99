"""Every metric that any process of the system exports: a closed vocabulary. Dashboards, alerts and the code use no others.

Names and units are by Prometheus' conventions: base units, `_total` for counters alone, `_timestamp_seconds` for moments.
A label's values are known beforehand (`LABELS`): never an order, a SKU, a customer, a text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from contracts.topics import RECOMMENDATION_LEARNER, SUBSCRIPTIONS, all_topics

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as `/metrics` shows it."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_BATCH: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
_CODE_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ORDER_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)

# --- the message runtime: each service's own process tells these ----------------------------------------------------------

CONSUMED: Final = Metric("messaging_consumed_total", "counter", "Records read and settled", ("service", "topic"))
PUBLISHED: Final = Metric("messaging_published_total", "counter", "Messages decided and committed", ("service", "type"))
DEAD_LETTERS: Final = Metric(
    "messaging_dead_letters_total", "counter", "Records set aside", ("service", "topic", "reason")
)
REJECTED: Final = Metric(
    "messaging_rejected_total",
    "counter",
    "Commands rejected, by the topic they belong on",
    ("service", "topic", "reason"),
)
FORWARDED: Final = Metric(
    "messaging_forwarded_total", "counter", "Commands sent on to their own partition", ("service", "topic")
)
EVENTS: Final = Metric("messaging_events_total", "counter", "Things that should be rare", ("service", "event"))
BATCH_SIZE: Final = Metric("messaging_batch_size", "histogram", "Items per transaction", ("service",), _BATCH)
PHASE: Final = Metric(
    "messaging_phase_seconds", "histogram", "Time per phase of a batch", ("service", "phase"), _CODE_S
)
LAG: Final = Metric(
    "messaging_lag_records", "gauge", "Records behind the owner of a partition", ("service", "partition")
)
OUTBOX_WAITING: Final = Metric(
    "messaging_outbox_waiting_records", "gauge", "Committed, not published yet", ("service", "partition")
)
PARKED_KEYS: Final = Metric(
    "messaging_parked_keys", "gauge", "Keys that wait behind a dead letter", ("service", "partition")
)
LOG_KEYS_DROPPED: Final = Metric("log_keys_dropped_total", "counter", "Log keys outside the vocabulary, dropped")

# --- payment ---------------------------------------------------------------------------------------------------------------

GATEWAY_CALLS: Final = Metric(
    "payment_gateway_calls_total", "counter", "Attempts at the gateway, by how they ended", ("call", "outcome")
)
GATEWAY_SECONDS: Final = Metric("payment_gateway_call_seconds", "histogram", "How long they took", ("call",), _CODE_S)

# --- recommendation's learner ----------------------------------------------------------------------------------------------

LEARNER_RECORDS: Final = Metric(
    "recommendation_learner_records_total", "counter", "Records settled", ("topic", "outcome")
)
LEARNER_DEAD_LETTERS: Final = Metric(
    "recommendation_learner_dead_letters_total", "counter", "Records set aside", ("topic", "reason")
)
LEARNER_TOLD: Final = Metric("recommendation_learner_told_total", "counter", "Lists told")
LEARNER_RECOVERIES: Final = Metric(
    "recommendation_learner_recoveries_total", "counter", "Tables read back after a start or a rebalance"
)
LEARNER_FETCHED_AGAIN: Final = Metric(
    "recommendation_learner_fetched_again_total", "counter", "Records lost on the way and fetched again"
)
LEARNER_STATE: Final = Metric("recommendation_learner_state", "gauge", "How many there are now", ("what",))

# --- the web console -------------------------------------------------------------------------------------------------------

CONSOLE_VIEWERS: Final = Metric("console_viewers", "gauge", "Pages that listen to the stream")
CONSOLE_CONNECTED: Final = Metric("console_stream_connected", "gauge", "1: events come from the broker")

# --- the watcher: what the databases and the broker say, whatever processes run ---------------------------------------------

WATCH_UP: Final = Metric("watch_up", "gauge", "1: it was looked at; 0: it does not answer", ("source",))
WATCH_AT: Final = Metric("watch_look_timestamp_seconds", "gauge", "When the last look ended")
WATCH_SECONDS: Final = Metric("watch_look_seconds", "gauge", "How long the last look took")

CONSUMER_LAG: Final = Metric(
    "consumer_lag_records", "gauge", "Records on the topic that the service has not settled", ("service", "topic")
)
CONSUMER_STILL: Final = Metric(
    "consumer_still_seconds", "gauge", "For how long a partition with lag has not moved; the longest", ("service",)
)
OUTBOX_PENDING: Final = Metric("outbox_pending_records", "gauge", "Committed, not published yet", ("service",))
OUTBOX_OLDEST: Final = Metric("outbox_oldest_seconds", "gauge", "Age of the oldest of them; 0: none", ("service",))
PARKED_RECORDS: Final = Metric("parked_records", "gauge", "Records that wait behind a dead letter", ("service",))
TIMERS: Final = Metric("timers_pending", "gauge", "Timers that are set", ("service",))
TIMERS_DUE: Final = Metric("timers_due", "gauge", "Timers that should have fired by now", ("service",))
TIMERS_OVERDUE: Final = Metric("timers_overdue", "gauge", "Timers that should have fired 5 s ago", ("service",))
EFFECTS: Final = Metric("effects_pending", "gauge", "Calls that were decided and have not ended", ("service",))

ORDERS_BY_STATUS: Final = Metric("orders_by_status", "gauge", "Orders, by status", ("status",))
ORDERS_OLDEST: Final = Metric("orders_oldest_open_seconds", "gauge", "Age of the oldest open order; 0: none")
ORDERS_OVERDUE: Final = Metric(
    "orders_overdue", "gauge", "Open orders a minute past their step's deadline, neither paused nor with a person"
)
ORDERS_ATTENTION: Final = Metric("orders_attention", "gauge", "Orders that need a person")
ORDERS_ATTENTION_OLDEST: Final = Metric(
    "orders_attention_oldest_seconds", "gauge", "For how long the oldest of them does; 0: none"
)
ORDERS_PAUSED: Final = Metric("orders_paused", "gauge", "Orders that an operator has paused")
ORDERS_WAITING: Final = Metric("orders_waiting", "gauge", "Open orders, by what they wait for", ("waiting_for",))
COMMANDS: Final = Metric("orders_commands", "gauge", "Commands ever decided, by verdict", ("verdict", "reason"))
DUPLICATES: Final = Metric(
    "orders_duplicates_total", "counter", "Repeated commands to orders that have ended since the watcher started"
)
ORDER_SECONDS: Final = Metric(
    "orders_end_to_end_seconds", "histogram", "From the start to the end of an order", ("status",), _ORDER_S
)
STEP_SECONDS: Final = Metric(
    "orders_step_seconds", "histogram", "From one event of an order to the next", ("step", "status"), _ORDER_S
)
RETRIES: Final = Metric("orders_retries_total", "counter", "Retries that orders ended since the watcher started needed")

CAPTURED: Final = Metric("payment_captured_minor", "gauge", "Money taken, in minor units", ("currency",))
REFUNDED: Final = Metric("payment_refunded_minor", "gauge", "Money given back, in minor units", ("currency",))
CHARGES: Final = Metric("payment_charges", "gauge", "Charges, by status", ("status",))
REFUNDS_PENDING: Final = Metric("payment_refunds_pending", "gauge", "Refunds that the gateway has not made yet")

STOCK_UNITS: Final = Metric("inventory_units", "gauge", "Pieces, by where they are", ("place",))
SKUS: Final = Metric("inventory_skus", "gauge", "SKUs in the catalogue")
SKUS_EXHAUSTED: Final = Metric("inventory_skus_exhausted", "gauge", "SKUs with nothing left to hold")
RESERVATIONS: Final = Metric("inventory_reservations", "gauge", "Reservations, by state", ("state",))
RESERVATIONS_OVER: Final = Metric("inventory_reservations_expired", "gauge", "Held reservations past their expiry")

MAILS_UNDELIVERABLE: Final = Metric(
    "notification_mails_undeliverable", "gauge", "Mails of the last week that were given up"
)

MONEY_IMBALANCE: Final = Metric(
    "invariant_money_imbalance_minor",
    "gauge",
    "Captured - refunded - owed, over orders at rest, by who keeps the account: must read 0",
    ("account", "currency"),
)
STOCK_IMBALANCE: Final = Metric(
    "invariant_stock_imbalance_units",
    "gauge",
    "What came in, was corrected and was shipped, against all receipts, corrections and shipped reservations: must read 0",
)
HELD_IMBALANCE: Final = Metric(
    "invariant_reserved_imbalance_units", "gauge", "Sum of |held - what the held reservations say|: must read 0"
)

#: Why a record is set aside: all the words that `dlq-reason` can be.
DEAD_LETTER_REASONS: Final = frozenset(
    {
        "empty",
        "foreign-partition",
        "handler-error",
        "invalid",
        "invalid-basket",
        "invalid-event",
        "not-an-event",
        "not-an-object",
        "not-json",
        "not-utf8",
        "too-deep",
        "too-large",
        "unknown-type",
        "unreadable-sender",
    }
)

#: Every value that a label may have; None: a number, or a code of a short list that is no one's identity.
LABELS: Final[dict[str, frozenset[str] | None]] = {
    "service": frozenset({*SUBSCRIPTIONS, RECOMMENDATION_LEARNER}),
    "topic": frozenset(spec.name for spec in all_topics()),
    "type": None,  # of messages: one for each that the registry has, and dead letters, which keep theirs
    "partition": None,  # TOPIC_PARTITIONS
    "reason": None,  # of dead letters: see above; of rejected commands: `messaging.meters.REJECTION_REASONS`
    "currency": None,  # ISO 4217
    "event": frozenset(
        {"fence-lost", "store-error", "stale-row", "publish-unknown", "rebuilt", "rewound", "effect-failed"}
    ),
    "phase": frozenset({"decode", "load", "decide", "commit", "publish"}),
    "call": frozenset({"charge", "void", "refund"}),
    "outcome": None,  # services.payment.state.End; OUTCOMES of the learner
    "what": frozenset({"baskets", "skus", "unreadable", "untold"}),
    "source": frozenset({*SUBSCRIPTIONS, "gateway", "kafka", "money", "stock"}),
    "status": None,  # an order's or a charge's: a closed list each, checked by the databases
    "waiting_for": None,  # services.orders.domain: a dozen
    "verdict": frozenset({"accepted", "rejected", "undecided"}),
    "step": None,  # the orders' events, without prefix and version
    "place": frozenset({"on_hand", "held", "shipped", "received", "adjusted"}),
    "state": frozenset({"held", "refused", "released", "shipped", "tombstone"}),
    "account": frozenset({"payment", "gateway"}),
}


def vocabulary() -> dict[str, Metric]:
    """Every metric by its name."""
    found: Iterable[Metric] = (value for value in globals().values() if isinstance(value, Metric))
    return {metric.name: metric for metric in found}
