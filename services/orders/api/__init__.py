"""The query API, a process of its own: it answers while the workflow's processes are down."""
