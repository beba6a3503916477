"""Endpoints of Services, and the proxy behind their addresses."""
