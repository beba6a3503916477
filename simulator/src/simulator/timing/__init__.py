"""Time in the simulated world: its calendar, how long things take there, and waiting for it to change."""
