"""The model checker: every way that one order, or two that want the same piece, can go within a few troubles, over the real
decisions of all parties.

A world (`world.py`) is a value: what each party knows, what stands unread on the topics, what is under way at the gateway. A step
(`steps.py`) makes a new one by letting one party decide (`parties.py`), time pass or something go wrong. The search (`search.py`)
goes breadth first through all of them, judges each (`judge.py`, with the rules of `audit`) and tells of a broken promise by the
shortest way to it. `cells.py` counts which cells of the parties' tables were reached; `scenarios.py` says what is searched.
"""
