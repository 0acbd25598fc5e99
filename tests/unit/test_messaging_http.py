"""What the queries of all services have in common."""

from __future__ import annotations

from typing import Final

import prometheus_client.openmetrics.parser as openmetrics
import prometheus_client.parser as plain
import pytest
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from prometheus_client import CollectorRegistry

from audit.watcher.book import Book, Sample
from audit.watcher.stories import Stories
from contracts import metrics
from messaging.http import MAX_LIMIT, Problem, limit_of, make_app
from messaging.meters import Meters
from messaging.tracing import Tracer
from services.recommendation.learner.meters import LearnerMeters


@pytest.mark.parametrize(("raw", "limit"), [("1", 1), ("007", 7), ("500", MAX_LIMIT)])
def test_a_limit_is_a_whole_number(raw: str, limit: int) -> None:
    assert limit_of(make_mocked_request("GET", f"/orders?limit={raw}")) == limit


# Seen as a 503: the first nine digits were looked at, and all of them asked for.
@pytest.mark.parametrize("raw", ["0", "501", "-1", "1.0", "", "x", "%00", "0000000019999", "000000001" + "9" * 5_000])
def test_another_limit_is_a_bad_request_and_no_failure_of_the_server(raw: str) -> None:
    with pytest.raises(Problem) as refused:
        limit_of(make_mocked_request("GET", f"/orders?limit={raw}"))
    assert refused.value.status == 400


OPEN: Final = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


async def scraped(registry: CollectorRegistry, accept: str) -> tuple[str, str]:
    """What `/metrics` answers to who asks so: how it is written, and the text."""

    async def yes() -> bool:
        return True

    async with TestClient(TestServer(make_app([], registry, yes, lambda: True, {}))) as client:
        answer = await client.get("/metrics", headers={"Accept": accept})
        return answer.content_type, await answer.text()


async def test_a_traced_batch_is_an_exemplar_for_who_asks_for_the_format_that_has_room_for_it() -> None:
    meters, batch = Meters("orders"), Tracer("orders", lambda _: None).batch()
    with meters.phase("commit", batch):
        pass
    told = f'# {{trace_id="{batch.at.trace:032x}"}}'
    kind, text = await scraped(meters.registry, OPEN)
    assert kind == "application/openmetrics-text"
    assert told in text
    kind, text = await scraped(meters.registry, "")
    assert kind == "text/plain"
    assert told not in text


async def test_both_formats_tell_the_same_of_every_kind_of_process() -> None:
    meters, book, watcher = Meters("orders"), Book(), CollectorRegistry()
    watcher.register(book)
    Stories(watcher)
    book.write("orders", [Sample(metrics.ORDERS_BY_STATUS, 2, ("COMPLETED",)), Sample(metrics.ORDERS_ATTENTION, 1)])
    meters.state(0, "lag", 3)
    meters.happened("fence-lost")
    with meters.phase("decide"):
        pass
    for registry in (meters.registry, LearnerMeters().registry, watcher):
        open_ones = openmetrics.text_string_to_metric_families((await scraped(registry, OPEN))[1])
        plain_ones = plain.text_string_to_metric_families((await scraped(registry, "text/plain"))[1])
        found = [
            {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}
            for families in (open_ones, plain_ones)
        ]
        assert found[0] == found[1] != {}
