"""`python -m services.orders.api`: queries about orders, on port 8001."""

import gc

if __name__ == "__main__":
    # What is imported stays for good: to look for garbage in it, again and again while it comes, is a tenth of the start.
    gc.disable()
    from messaging.app import run_queries
    from services.orders.api.app import build

    raise SystemExit(run_queries("orders-api", "orders", build))
