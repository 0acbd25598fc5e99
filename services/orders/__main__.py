"""`python -m services.orders`: the orchestrator."""

import gc

if __name__ == "__main__":
    # What is imported stays for good: to look for garbage in it, again and again while it comes, is a tenth of the start.
    gc.disable()
    from messaging.app import run
    from services.orders.app import build

    raise SystemExit(run("orders", build))
