"""`python -m services.console`: the web console, on port 8080; `... password NAME [ROLE]` gives an account a one-time password."""

import gc
import sys

if __name__ == "__main__":
    # What is imported stays for good: to look for garbage in it, again and again while it comes, is a quarter of the start.
    gc.disable()
    from services.console.app import main, new_password

    gc.freeze()
    gc.enable()
    match sys.argv[1:]:
        case []:
            raise SystemExit(main())
        case ["password", name]:
            raise SystemExit(new_password(name, "operator"))
        case ["password", name, role]:
            raise SystemExit(new_password(name, role))
        case _:
            sys.exit("usage: python -m services.console [password NAME [viewer|support|operator]]")
