"""What every controller runs on: caches that watch, a queue of keys, workers, Events."""
