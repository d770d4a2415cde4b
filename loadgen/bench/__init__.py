"""Side by side: attribution as Spendstream does it and as others would, draining the same preloaded `usage` topic.

workload.py makes the company, its price list and the topic; stack.py runs broker, ClickHouse and our commands;
contenders.py starts one side; drain.py times it; result.py says what the figures mean; run.py is the whole bench.
peers/ holds the contenders: per_event.py is the work they all do, one event at a time, and the others only differ in
the framework that hands the events over.
"""
