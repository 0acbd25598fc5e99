"""What an order does about what does not work: `policies`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import typer

from orderctl import cli, render
from orderctl.exits import Exit
from orderctl.http import Apis

_COLUMNS: Final = ("step", "tried again after", "first", "times", "longest", "attempts", "not again if", "in the end")
_NUMBERS: Final = ("first", "times", "longest", "attempts")


def policies(context: typer.Context, json: cli.JsonFlag = False) -> None:
    """The retry policies in effect; what a setting has changed is marked, with its default."""
    settings = cli.settings_of(context)

    async def work() -> Exit:
        async with Apis(settings) as apis:
            found = await apis.policies()
        if json:
            render.print_json({"items": found, "next": None})
        else:
            render.out().print(render.table(_COLUMNS, [_row(policy) for policy in found], _NUMBERS))
        return Exit.OK

    cli.run(work)


def _row(policy: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        render.escape(str(policy["step"])),
        render.escape(str(policy["tried_again_after"])),
        _cell(policy, "initial_interval_s", _seconds),
        _cell(policy, "backoff_coefficient", lambda value: f"{value:g}"),
        _cell(policy, "maximum_interval_s", _seconds),
        _cell(policy, "maximum_attempts", lambda value: "no end" if value is None else str(value)),
        _cell(policy, "non_retryable", lambda value: ", ".join(value) or "-"),
        render.escape(str(policy["in_the_end"])),
    )


def _cell(policy: Mapping[str, Any], field: str, written: Callable[[Any], str]) -> str:
    text = render.escape(written(policy[field]))
    if field not in policy["overridden"]:
        return text
    return f"[bold]{text}[/] (not {render.escape(written(policy['overridden'][field]))})"


def _seconds(value: float) -> str:
    return f"{value:g} s"
