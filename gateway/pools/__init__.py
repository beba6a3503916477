"""What there is: Pools and their clusters, and the two wishes that operators have of them."""

from gateway.pools.routes import router

__all__ = ["router"]
