"""The whole system in one process, under virtual time: what runs here is what runs in production, only the outside is made up."""

from simulation.system import System

__all__ = ["System"]
