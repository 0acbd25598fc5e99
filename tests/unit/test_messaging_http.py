"""What the queries of all services have in common."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from messaging.http import MAX_LIMIT, Problem, limit_of


@pytest.mark.parametrize(("raw", "limit"), [("1", 1), ("007", 7), ("500", MAX_LIMIT)])
def test_a_limit_is_a_whole_number(raw: str, limit: int) -> None:
    assert limit_of(make_mocked_request("GET", f"/orders?limit={raw}")) == limit


# Seen as a 503: the first nine digits were looked at, and all of them asked for.
@pytest.mark.parametrize("raw", ["0", "501", "-1", "1.0", "", "x", "%00", "0000000019999", "000000001" + "9" * 5_000])
def test_another_limit_is_a_bad_request_and_no_failure_of_the_server(raw: str) -> None:
    with pytest.raises(Problem) as refused:
        limit_of(make_mocked_request("GET", f"/orders?limit={raw}"))
    assert refused.value.status == 400
