"""The four boards, as data. `python deploy/grafana/boards.py` writes their JSON anew; a test shows that it is current."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

FOLDER: Final = Path(__file__).parent / "dashboards"
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="prometheus")


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel: `queries` are PromQL and the legend of its series. `now`: a number instead of a line."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    now: bool = False
    span: int = 8


def p50_and_p99(metric: str, by: str, legend: str) -> tuple[tuple[str, str], ...]:
    """Two quantiles of a histogram."""
    quantiles = (("0.5", "p50"), ("0.99", "p99"))
    return tuple(
        (f"histogram_quantile({q}, sum by (le, {by}) (rate({metric}_bucket[5m])))", f"{legend} {name}")
        for q, name in quantiles
    )


BOARDS: Final[dict[str, tuple[Panel, ...]]] = {
    "business": (
        Panel("Orders, by status", "short", (("sum by (status) (orders_by_status)", "{{status}}"),), span=16),
        Panel("Oldest open order", "s", (("max(orders_oldest_open_seconds)", ""),), now=True),
        Panel(
            "Orders told about, per second",
            "ops",
            (
                (
                    'sum by (type) (rate(messaging_published_total{service="orders",type=~"orders.order-.*"}[5m]))',
                    "{{type}}",
                ),
            ),
            span=16,
        ),
        Panel(
            "Commands, by verdict", "short", (("sum by (verdict, reason) (orders_commands)", "{{verdict}} {{reason}}"),)
        ),
        Panel(
            "Funnel: how far orders came in the last hour",
            "short",
            (
                (
                    "sum by (type) (increase(messaging_published_total{"
                    'service="orders",type=~"orders.(order-started|stock-reserved|payment-approved|payment-captured|order-completed).v1"'
                    "}[1h]))",
                    "{{type}}",
                ),
            ),
            now=True,
            span=16,
        ),
        Panel(
            "Outcomes in the last hour",
            "short",
            (("sum by (status) (increase(orders_end_to_end_seconds_count[1h]))", "{{status}}"),),
            now=True,
        ),
        Panel("Money taken", "short", (("sum by (currency) (payment_captured_minor)", "{{currency}} minor units"),)),
        Panel(
            "Money given back", "short", (("sum by (currency) (payment_refunded_minor)", "{{currency}} minor units"),)
        ),
        Panel(
            "Money that does not add up: must read 0",
            "short",
            (("invariant_money_imbalance_minor", "{{account}} {{currency}}"),),
            now=True,
        ),
        Panel("Pieces, by where they are", "short", (("sum by (place) (inventory_units)", "{{place}}"),)),
        Panel(
            "SKUs sold out", "short", (("max(inventory_skus_exhausted)", "sold out"), ("max(inventory_skus)", "all"))
        ),
        Panel(
            "Stock that does not add up: must read 0",
            "short",
            (("invariant_stock_imbalance_units", "stock"), ("invariant_reserved_imbalance_units", "reservations")),
            now=True,
        ),
    ),
    "workflow": (
        Panel("Waiting for", "short", (("sum by (waiting_for) (orders_waiting)", "{{waiting_for}}"),), span=16),
        Panel(
            "Need somebody",
            "short",
            (
                ("max(orders_attention)", "attention"),
                ("max(orders_overdue)", "overdue"),
                ("max(orders_paused)", "paused"),
            ),
            now=True,
        ),
        Panel("From start to end", "s", p50_and_p99("orders_end_to_end_seconds", "status", "{{status}}"), span=12),
        Panel("Steps", "s", p50_and_p99("orders_step_seconds", "step", "{{step}}"), span=12),
        Panel(
            "Repeats and retries, per second",
            "ops",
            (("rate(orders_duplicates_total[5m])", "duplicates"), ("rate(orders_retries_total[5m])", "retries")),
        ),
        Panel("Reservations", "short", (("sum by (state) (inventory_reservations)", "{{state}}"),)),
        Panel("Charges", "short", (("sum by (status) (payment_charges)", "{{status}}"),)),
        Panel(
            "The gateway's answers, per second",
            "ops",
            (("sum by (call, outcome) (rate(payment_gateway_calls_total[5m]))", "{{call}} {{outcome}}"),),
        ),
        Panel("The gateway's time", "s", p50_and_p99("payment_gateway_call_seconds", "call", "{{call}}")),
        Panel("Refunds to be made", "short", (("max(payment_refunds_pending)", ""),), now=True),
    ),
    "runtime": (
        Panel("Lag", "short", (("sum by (service, topic) (consumer_lag_records)", "{{service}} {{topic}}"),), span=12),
        Panel("Standing still with lag", "s", (("max by (service) (consumer_still_seconds)", "{{service}}"),), span=12),
        Panel(
            "Records settled, per second",
            "ops",
            (("sum by (service) (rate(messaging_consumed_total[5m]))", "{{service}}"),),
        ),
        Panel("Items per batch", "short", p50_and_p99("messaging_batch_size", "service", "{{service}}")),
        Panel(
            "Time per phase, of each second",
            "s",
            (("sum by (service, phase) (rate(messaging_phase_seconds_sum[5m]))", "{{service}} {{phase}}"),),
        ),
        Panel("Outbox", "short", (("sum by (service) (outbox_pending_records)", "{{service}}"),)),
        Panel("Oldest in the outbox", "s", (("max by (service) (outbox_oldest_seconds)", "{{service}}"),)),
        Panel(
            "What should be rare, per second",
            "ops",
            (("sum by (service, event) (rate(messaging_events_total[5m]))", "{{service}} {{event}}"),),
        ),
        Panel(
            "Timers due and overdue",
            "short",
            (
                ("max by (service) (timers_due)", "{{service}} due"),
                ("max by (service) (timers_overdue)", "{{service}} overdue"),
            ),
        ),
        Panel(
            "Commands rejected in the last hour",
            "short",
            (
                (
                    "sum by (topic, reason) (increase(messaging_rejected_total[1h])) or vector(0)",
                    "{{topic}} {{reason}}",
                ),
            ),
        ),
        Panel("Records behind dead letters", "short", (("sum by (service) (parked_records)", "{{service}}"),)),
        Panel("Effects under way", "short", (("sum by (service) (effects_pending)", "{{service}}"),)),
    ),
    "infrastructure": (
        Panel("Processes that answer", "short", (("up", "{{instance}}"),), now=True, span=24),
        Panel("Databases and broker that answer", "short", (("watch_up", "{{source}}"),), now=True, span=16),
        Panel("The watcher's look", "s", (("max(watch_look_seconds)", ""),)),
        Panel("Timers set", "short", (("sum by (service) (timers_pending)", "{{service}}"),), span=12),
        Panel(
            "Log keys dropped",
            "ops",
            (("sum by (instance) (rate(log_keys_dropped_total[5m]))", "{{instance}}"),),
            span=12,
        ),
    ),
}


def build(name: str, panels: tuple[Panel, ...]) -> str:
    """A board's JSON."""
    board = dashboard.Dashboard(f"Orders: {name}").uid(f"orders-{name}").tags(["orders"]).readonly()
    board = board.refresh("30s").time("now-1h", "now").timezone("browser")
    for panel in panels:
        shown = stat.Panel() if panel.now else timeseries.Panel()
        shown = shown.title(panel.title).unit(panel.unit).datasource(SOURCE).height(8).span(panel.span)
        for number, (query, legend) in enumerate(panel.queries):
            asked = prometheus.Dataquery().expr(query).legend_format(legend).ref_id(chr(ord("A") + number))
            shown = shown.with_target(asked.instant() if panel.now else asked.range())
        board = board.with_panel(shown)
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for name, panels in BOARDS.items():
        (FOLDER / f"{name}.json").write_text(build(name, panels))


if __name__ == "__main__":
    main()
