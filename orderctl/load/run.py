"""The load generator as one call."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from orderctl.errors import UsageError
from orderctl.http import Apis
from orderctl.load.engine import AllSent, Engine, Pace
from orderctl.load.plan import LoadPlan, Target, scripts, setup_commands
from orderctl.load.record import Recorder
from orderctl.load.result import LoadResult, Progress
from orderctl.load.setup import OnAnswers, ask_all
from orderctl.settings import Settings
from orderctl.transport import KafkaTransport, Transport


def kafka_transport(target: Target) -> Transport:
    """The way to the target's broker."""
    identity = f"orderctl-load-{socket.gethostname()}-{os.getpid()}"
    return KafkaTransport(target.bootstrap_servers, identity, target.connect_timeout_s)


async def run_load(
    plan: LoadPlan,
    on_progress: Callable[[Progress], None] | None = None,
    on_setup: OnAnswers | None = None,
    transport: Transport | None = None,
    all_sent: AllSent | None = None,
) -> LoadResult:
    """Do what the plan says and count every order to its end.

    `all_sent` is awaited when the last order was sent, and the run's time counts from there: for a burst that nobody handles before
    it is complete. Orders that do not end in time are named in the result, not raised. Raises `BrokerUnreachableError` where the
    broker was away for longer than `plan.retry_s`, `NoAnswersError` where the shop did not answer the setup, `UsageError` where it
    refused it.
    """
    way = transport if transport is not None else kafka_transport(plan.target)
    settings = Settings(plan.target.bootstrap_servers, plan.target.orders_api_url)
    try:
        with Recorder(plan.record) as recorder:
            async with Apis(settings) as apis:
                if plan.setup:
                    await _set_up(plan, way, recorder, on_setup)
                pace = Pace(plan.rate_per_s > 0, plan.max_open, plan.timeout_s, plan.retry_s)
                engine = Engine(way, plan.orders, pace, recorder, on_progress, apis.order, all_sent)
                return await engine.run(scripts(plan))
    finally:
        await way.close()


async def _set_up(plan: LoadPlan, transport: Transport, recorder: Recorder, on_setup: OnAnswers | None) -> None:
    commands = list(setup_commands(plan))
    answers = await ask_all(transport, commands, recorder, plan.timeout_s, plan.retry_s, on_setup)
    refused = [answer for answer in answers.values() if not answer.accepted]
    if refused:
        first = refused[0]
        raise UsageError(
            f"{len(refused)} of {len(commands)} setup commands were refused; the first is {first.command_id}: {first.reason}. "
            f"{first.message or ''}".rstrip()
        )
