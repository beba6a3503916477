"""The pool's state: the compare-and-swap protocol on PooledClusters and Sessions."""

from pool.state.history import Transition
from pool.state.leases import Extension, Released
from pool.state.pool import PoolState
from pool.state.running import OperationHandle

__all__ = ["Extension", "OperationHandle", "PoolState", "Released", "Transition"]
