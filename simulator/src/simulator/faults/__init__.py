"""Faults of the simulated world on request, and the switchboard for these and the API server's."""
