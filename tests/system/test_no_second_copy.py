"""What the simulation plays is what runs in production: its services, its runtime, its gateway. There is no second copy."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import messaging.host
import messaging.together
import simulation.company
import simulation.process
from messaging.worker import PartitionWorker
from services.payment.gateway.simulated import SimulatedGateway
from services.payment.performer import GatewayPerformer
from simulation import System
from simulation.parts import SERVICES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("service", SERVICES)
def test_the_handler_of_a_simulated_service_is_the_one_of_its_process(service: str) -> None:
    simulated = type(System().parts.of[service].handler())
    assert simulated.__module__ == f"services.{service}.handlers"
    assert getattr(import_module(f"services.{service}.app"), simulated.__name__) is simulated


def test_the_worker_of_a_simulated_partition_is_the_one_of_a_process() -> None:
    assert simulation.process.PartitionWorker is messaging.host.PartitionWorker is PartitionWorker
    lanes = [lane for process in System().processes for lane in process.lanes]
    assert {type(lane.worker) for lane in lanes} == {PartitionWorker}


def test_the_common_transactions_of_a_simulated_process_are_those_of_a_process() -> None:
    common = {type(process.together) for process in System().processes}
    assert len(common) == 1
    assert issubclass(common.pop(), messaging.host.Together)
    assert simulation.company.transact is messaging.together.transact


def test_the_payment_service_calls_its_gateway_through_its_own_performer() -> None:
    parts = System().parts
    assert type(parts.of["payment"].performer()) is GatewayPerformer
    assert type(parts.gateway) is SimulatedGateway


def functions(folder: str) -> Iterator[tuple[str, str]]:
    """Every function of some length: its body without its words, and where it stands."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                if len(list(ast.walk(ast.Module(body, [])))) > 40:
                    yield ast.dump(ast.Module(body, [])), f"{path.relative_to(ROOT)}: {node.name}"


def test_no_function_of_the_simulation_is_copied_from_the_product() -> None:
    product = dict(found for folder in ("services", "messaging", "contracts") for found in functions(folder))
    copies = [f"{place} is {product[body]}" for body, place in functions("simulation") if body in product]
    assert copies == []


def test_a_copy_would_be_found() -> None:
    product = dict(functions("messaging"))
    assert len(product) > 50
    assert all(body in product for body, _ in functions("messaging"))
