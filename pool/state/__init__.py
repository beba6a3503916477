"""The pool's state: the compare-and-swap protocol on Pools, PooledClusters and Sessions."""

from pool.state.events import Transition
from pool.state.operations import OperationHandle
from pool.state.pool import PoolState
from pool.state.sessions import Extension, Released

__all__ = ["Extension", "OperationHandle", "PoolState", "Released", "Transition"]
