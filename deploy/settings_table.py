"""The table of settings in docs/operations.md, from the code. `python deploy/settings_table.py` writes it anew; a test shows that
it is current."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from audit.watcher.__main__ import SETTINGS as WATCHER
from contracts.ports import HTTP_PORTS
from messaging.otlp import SETTINGS as TRACES
from messaging.secure import SETTINGS as SECURITY
from messaging.setting import Setting
from messaging.settings import BOOTSTRAP_SERVERS, PARTITIONS, settings_of
from provision.databases import DATABASE_URLS
from provision.topic_settings import SETTINGS as TOPICS
from services.console.settings import SETTINGS as CONSOLE
from services.inventory.settings import SETTINGS as INVENTORY
from services.notification.settings import SETTINGS as NOTIFICATION
from services.orders.api.participants import SETTINGS as ORDERS_API
from services.payment.settings import SETTINGS as PAYMENT

DOCUMENT: Final = Path(__file__).resolve().parents[1] / "docs" / "operations.md"
BEGIN: Final = "<!-- made by deploy/settings_table.py -->\n"
END: Final = "<!-- end of what is made -->\n"

#: What each process reads. The orchestrator's retry policies have a table of their own in the document.
PROCESSES: Final[dict[str, tuple[Setting, ...]]] = {
    "orders": (*settings_of("orders"), *TRACES),
    "orders-api": (*settings_of("orders-api", "orders"), *ORDERS_API),
    "inventory": (*settings_of("inventory"), *TRACES, *INVENTORY),
    "payment": (*settings_of("payment"), *TRACES, *PAYMENT),
    "customer": (*settings_of("customer"), *TRACES),
    "notification": (*settings_of("notification"), *TRACES, *NOTIFICATION),
    "recommendation": (*settings_of("recommendation"), *TRACES),
    # It has no database.
    "recommendation-learner": (
        *(one for one in settings_of("recommendation-learner") if not one.name.endswith("_DATABASE_URL")),
        *TRACES,
    ),
    "console": CONSOLE,
    "watcher": WATCHER,
    "provision": (BOOTSTRAP_SERVERS, *SECURITY, PARTITIONS, *TOPICS, *DATABASE_URLS.values()),
}
#: What the runtime gives all that it runs: who reads these is told in two words.
RUNTIME: Final = tuple(name for name in HTTP_PORTS if name != "console")
ELSEWHERE: Final = {"HTTP_PORT": "see [ports](#ports)", "IDENTITY": "`<service>-worker-<host>-<pid>`"}


def table() -> str:
    """The table, a row per setting."""
    told: dict[str, Setting] = {}
    readers: dict[str, list[str]] = {}
    for process, settings in PROCESSES.items():
        for setting in settings:
            told.setdefault(setting.name, setting)
            readers.setdefault(setting.name, []).append(process)
    databases = [name for name in told if name.endswith("_DATABASE_URL")]
    lines = ["| name | default | what it may be | meaning | of |", "| --- | --- | --- | --- | --- |"]
    for name in sorted(told):
        setting = told[name]
        default = ELSEWHERE.get(name) or (f"`{setting.usual}`" if setting.usual else "none")
        meaning = "a database" if name in databases else setting.meaning
        lines.append(f"| `{name}` | {default} | {setting.allowed} | {meaning} | {_who(readers[name])} |")
    return "\n".join(lines) + "\n"


def _who(readers: list[str]) -> str:
    if set(readers) == set(PROCESSES):
        return "all"
    rest = [name for name in readers if name not in RUNTIME]
    if set(RUNTIME) <= set(readers):
        return ", ".join(["every service", *rest])
    return ", ".join(readers)


def written(document: str) -> str:
    """The document with the table of now."""
    before, _, rest = document.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text()))
