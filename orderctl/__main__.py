"""`python -m orderctl`."""

from orderctl.main import main

if __name__ == "__main__":
    main()
