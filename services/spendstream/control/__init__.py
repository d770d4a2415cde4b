"""Control documents from file to topic: read YAML exactly, check every field, publish all or nothing, await services.

Reads    YAML files, the control topic, service-heartbeats.
Writes   control.
"""
