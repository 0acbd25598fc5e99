"""`python -m services.console`: the web console, on port 8080; `... password NAME [ROLE]` gives an account a one-time password."""

import sys

from services.console.app import main, new_password

if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            raise SystemExit(main())
        case ["password", name]:
            raise SystemExit(new_password(name, "operator"))
        case ["password", name, role]:
            raise SystemExit(new_password(name, role))
        case _:
            sys.exit("usage: python -m services.console [password NAME [viewer|support|operator]]")
