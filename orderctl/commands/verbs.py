"""How a verb about an order is made: from the words that are its own and what all such verbs have in common.

The words of a verb are a function of its own options that returns the command's data; its docstring is the verb's help.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import typer

from contracts.topics import ORDERS_EVENTS
from contracts.values import CommandData
from orderctl import cli
from orderctl.command import new_command
from orderctl.commands.asking import ask_and_tell, plan_and_tell
from orderctl.exits import Exit

Words = Callable[..., CommandData]


def spliced(outer: Callable[..., None], words: Words) -> Callable[..., None]:
    """`outer` as a verb: in the place of its parameter `build` stand the parameters of `words`, and `build` is then `words` with
    what was given for them."""
    own = list(inspect.signature(words, eval_str=True).parameters.values())
    common = inspect.signature(outer, eval_str=True).parameters.values()
    taken = [each for parameter in common for each in (own if parameter.name == "build" else (parameter,))]

    def verb(**given: object) -> None:
        said = {parameter.name: given.pop(parameter.name) for parameter in own}
        outer(build=lambda: words(**said), **given)

    # Typer reads a verb's options from its signature.
    signature = inspect.Signature([each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in taken])
    verb.__dict__["__signature__"] = signature
    verb.__annotations__ = {each.name: each.annotation for each in taken}
    verb.__doc__ = words.__doc__
    return verb


def order_verb(words: Words) -> Callable[..., None]:
    """The verb that says it to one order."""
    return spliced(_say, words)


def _say(
    context: typer.Context,
    order_id: cli.OrderArgument,
    build: Callable[[], CommandData],
    dry_run: cli.DryRunFlag = False,
    command_id: cli.CommandIdOption = None,
    no_wait: cli.NoWaitFlag = False,
    timeout: cli.VerdictTimeout = cli.VERDICT_TIMEOUT_S,
    json: cli.JsonFlag = False,
) -> None:
    command = new_command(order_id, build, command_id)
    settings = cli.settings_of(context)

    async def work() -> Exit:
        if dry_run:
            return await plan_and_tell(settings, command, command_id is not None, json)
        return await ask_and_tell(settings, command, ORDERS_EVENTS, not no_wait, timeout, json)

    cli.run(work)
