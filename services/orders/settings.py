"""The orchestrator's own settings: retry policies, `ORDER_POLICY_<STEP>_<FIELD>`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, Final, get_args

from contracts.values import FailureKind
from messaging.errors import SettingsError
from messaging.setting import Integer, Number
from services.orders.domain.policies import BOUNDED, DEFAULTS, TRIED_AFTER, Policies, PolicyName, RetryPolicy

PREFIX: Final = "ORDER_POLICY_"
FIELDS: Final = tuple(field.name for field in fields(RetryPolicy))
_DAY_S: Final = 86_400
_MOST_ATTEMPTS: Final = 1_000_000


def load_policies(env: Mapping[str, str] = os.environ) -> Policies:
    """The table in effect. Raises `SettingsError` for a value that cannot be and for a name that is none of the table's."""
    known = {setting_name(name, field): (name, field) for name in TRIED_AFTER for field in FIELDS}
    for given in sorted(env):
        if given.startswith(PREFIX) and given not in known:
            raise SettingsError(_unknown(given))
    policies = DEFAULTS
    for name in TRIED_AFTER:
        policies = replace(policies, **{name.replace("-", "_"): _policy(env, name)})
    return policies


def setting_name(name: PolicyName, field: str) -> str:
    """The variable that overrides a field of a row."""
    return f"{PREFIX}{name.replace('-', '_')}_{field}".upper()


def _unknown(given: str) -> str:
    steps = ", ".join(name.replace("-", "_").upper() for name in TRIED_AFTER)
    return (
        f"{given} is no setting: a policy is set by {PREFIX}<STEP>_<FIELD>, where STEP is one of {steps} and FIELD is one of "
        f"{', '.join(FIELDS).upper()}."
    )


def _policy(env: Mapping[str, str], name: PolicyName) -> RetryPolicy:
    default = DEFAULTS.named(name)
    readers: dict[str, Callable[[str], Any]] = {
        "initial_interval_s": lambda it: Number(it, default.initial_interval_s, 0.01, _DAY_S, "").read(env),
        "backoff_coefficient": lambda it: Number(it, default.backoff_coefficient, 1, 100, "").read(env),
        "maximum_interval_s": lambda it: Number(it, default.maximum_interval_s, 0.01, _DAY_S, "").read(env),
        "maximum_attempts": lambda it: _attempts(env, it, name, default.maximum_attempts),
        "non_retryable": lambda it: _kinds(env, it, name, default.non_retryable),
    }
    policy = RetryPolicy(**{field: readers[field](setting_name(name, field)) for field in FIELDS})
    if policy.maximum_interval_s < policy.initial_interval_s:
        longest, first = setting_name(name, "maximum_interval_s"), setting_name(name, "initial_interval_s")
        raise SettingsError(
            f"{longest} ({policy.maximum_interval_s:g}) must not be less than {first} ({policy.initial_interval_s:g})."
        )
    return policy


def _attempts(env: Mapping[str, str], setting: str, name: PolicyName, default: int | None) -> int | None:
    """0 means without end, as it does elsewhere."""
    found = Integer(setting, default or 0, 0, _MOST_ATTEMPTS, "").read(env)
    if found == 0 and name in BOUNDED:
        raise SettingsError(f"{setting} must be at least 1: an order may not wait for this for ever.")
    return found or None


def _kinds(
    env: Mapping[str, str], setting: str, name: PolicyName, default: frozenset[FailureKind]
) -> frozenset[FailureKind]:
    raw = env.get(setting)
    if raw is None:
        return default
    if TRIED_AFTER[name] == "silence":
        attempts = setting_name(name, "maximum_attempts")
        raise SettingsError(f"{setting} means nothing: silence is of no kind. {attempts} limits how often is asked.")
    known: tuple[FailureKind, ...] = get_args(FailureKind)
    given = {part.strip() for part in raw.split(",") if part.strip()}
    unknown = sorted(given - set(known))
    if unknown:
        raise SettingsError(f"{setting} is a list of {', '.join(known)} (or empty), not of {', '.join(unknown)}.")
    return frozenset(kind for kind in known if kind in given)
