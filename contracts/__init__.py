"""The words that the services share: the CloudEvents envelope, commands, events and topics."""
