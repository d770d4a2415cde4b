"""Keyed state on `costs`, shared by budgets, anomalies and recommendations.

A lane is one partition of `costs`: it turns cumulative rows into exact differences, feeds an engine (pure, from
`domain/`), publishes what the engine says, and saves a snapshot that names the offset it includes. A restart goes on
behind that offset; what was published since is read back first, so nothing is said twice.

Reads    costs, control, and the service's own output.
Writes   whatever topics the engine's emissions name.
State    SPENDSTREAM_HOME/<service>/costs-<partition>.json; rebuilt from the costs topic when it is missing.
"""
