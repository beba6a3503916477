"""Scheduler and kubelet of the one node."""
