"""Sending one command and telling its verdict: what the signals and the shop's verbs have in common."""

from __future__ import annotations

from orderctl import cli, foresight, render
from orderctl.client import connect
from orderctl.command import Command
from orderctl.exits import Exit
from orderctl.http import Apis
from orderctl.settings import Settings


async def ask_and_tell(
    settings: Settings, command: Command, events_topic: str, wait: bool, timeout_s: float, json: bool
) -> Exit:
    """Send the command; unless `wait` is off, print the verdict that comes on `events_topic`. 0 accepted, 5 rejected."""
    async with connect(cli.transport_for(settings), (events_topic,)) as client:
        if not wait:
            await client.send(command)
            if json:
                render.print_json({"kind": "sent", "command_id": command.id, "key": command.key, "type": command.type})
            else:
                render.out().print(f"Sent {command.type} for {render.escape(command.key)} as command {command.id}.")
            return Exit.OK
        verdict = await client.ask(command, timeout_s)
    if json:
        render.print_json(render.verdict_json(verdict))
    else:
        about = render.facts({k: v for k, v in verdict.data.items() if k not in ("reason", "message", "command_type")})
        line = f"{render.escape(command.key)}: {render.verdict_line(verdict)}"
        render.out().print(f"{line} {render.escape(about)}".rstrip())
    return Exit.OK if verdict.accepted else Exit.REJECTED


async def plan_and_tell(settings: Settings, command: Command, known: bool, json: bool) -> Exit:
    """Send nothing; print what the command would do. 0: it would not be refused, 5: it would be."""
    async with Apis(settings) as apis:
        plan = await apis.plan(command, known=known)
    if json:
        render.print_json(plan)
    else:
        console = render.out()
        for line in foresight.plan_lines(plan):
            console.print(line)
    return foresight.exit_of(plan)
