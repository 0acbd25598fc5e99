"""The same saga on DBOS Transact. `saga.py` runs in an environment of its own, which knows nothing of this project."""
