"""What a platform asks for all day: sessions get, keep and give back clusters."""

from gateway.sessions.routes import router

__all__ = ["router"]
