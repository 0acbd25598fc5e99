"""`audit`: have the promises of the system checked."""

from __future__ import annotations

import typer

from audit import cli as audit_cli
from orderctl import cli


def audit(
    context: typer.Context,
    record: audit_cli.RecordOption = None,
    expect_ended: audit_cli.ExpectEndedFlag = False,
    grace: audit_cli.GraceOption = audit_cli.GRACE_S,
    settle_timeout: audit_cli.SettleOption = audit_cli.SETTLE_TIMEOUT_S,
    limit: audit_cli.LimitOption = audit_cli.LIMIT,
    json: audit_cli.JsonFlag = False,
) -> None:
    """Check every promise against the databases (<SERVICE>_DATABASE_URL), the gateway's ledger and the topics. Exit codes:
    0 nothing found, 1 breaches, 2 could not look."""
    broker = cli.settings_of(context).bootstrap_servers
    options = audit_cli.Options(record or (), expect_ended, grace, settle_timeout, limit, json, broker)
    raise typer.Exit(audit_cli.perform(options))
