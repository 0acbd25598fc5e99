"""`python -m simulation`: campaigns of simulated orders (docs/simulation.md)."""

from simulation.campaign.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
