"""The whole system on one machine: simulator, Prefect server, worker, and a story that shows what the pool does."""
