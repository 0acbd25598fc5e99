"""ACLs on the broker, as the policy has them: what is missing is made. Nothing is taken away: an ACL that is none of ours stays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import CreateAclsRequest

from messaging.clients import make_admin
from provision.access import Acl
from provision.errors import ProvisionError

# Kafka's own numbers (org.apache.kafka.common.resource.ResourceType, .acl.AclOperation, .acl.AclPermissionType).
_KINDS: Final = {"topic": 2, "group": 3, "cluster": 4}
_OPERATIONS: Final = {"read": 3, "write": 4, "describe": 8, "describeConfigs": 10}
_LITERAL: Final = 3
_ALLOW: Final = 3


async def ensure_acls(bootstrap: str, wanted: Iterable[Acl]) -> int:
    """Make these; returns how many there are. Raises `ProvisionError`."""
    admin = make_admin(bootstrap, "provision")
    count = 0
    try:
        await admin.start()
        for acl in wanted:
            request = CreateAclsRequest(
                _KINDS[acl.kind],
                acl.name,
                _LITERAL,
                f"User:{acl.principal}",
                "*",
                _OPERATIONS[acl.operation],
                _ALLOW,
            )
            answer = await admin._send_request(request)
            for code, message, *_ in answer.creation_responses:
                if code != 0:
                    raise ProvisionError(
                        f"The broker refused to let {acl.principal} {acl.operation} {acl.name}: {message}"
                    )
            count += 1
    except (KafkaError, OSError) as error:
        raise ProvisionError(f"The broker at {bootstrap} could not be told who may do what: {error!r}") from error
    finally:
        await admin.close()
    return count
