"""A load generator, as a library: a schedule and statistics without IO, and the engine that drives them through a broker."""

from orderctl.load.plan import LoadPlan, OrderScript, Target
from orderctl.load.result import LoadResult, Progress
from orderctl.load.run import run_load

__all__ = ["LoadPlan", "LoadResult", "OrderScript", "Progress", "Target", "run_load"]
