"""What the demo prints: one line a step with its time, a spinner with live detail on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape


class StepFailed(RuntimeError):
    """A step of the story did not hold. `step` is its title; the message says what was seen."""

    def __init__(self, step: str, seen: str) -> None:
        super().__init__(f"{step}: {seen}")
        self.step = step


class Screen:
    """Live progress for a person, plain lines where there is no terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._started = time.monotonic()
        self._status = self.console.status("")
        self._title = ""

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show `title` while the body runs, and how long it took; a failure names the step."""
        begun = time.monotonic()
        self._title = title
        self._status.update(escape(title))
        self._status.start()
        try:
            yield
        except StepFailed:
            self._end("[red]✗[/]", title, begun)
            raise
        except Exception as error:
            self._end("[red]✗[/]", title, begun)
            raise StepFailed(title, str(error) or type(error).__name__) from error
        self._end("[green]✓[/]", title, begun)

    def ready(self, part: str) -> None:
        """Say when a part was ready, in seconds since the start; parts start at once."""
        self._show("[green]✓[/]", part, self._started)

    def detail(self, text: str) -> None:
        """Replace the detail beside the running step's title (seen on a terminal only)."""
        self._status.update(f"{escape(self._title)} [dim]{escape(text)}[/]")

    def note(self, text: str) -> None:
        """Print an indented line below the current step."""
        self.console.print(f"    {escape(text)}", style="dim", soft_wrap=True)

    def line(self, text: str = "") -> None:
        """Print a line as it is."""
        self.console.print(escape(text), soft_wrap=True)

    def elapsed(self) -> float:
        """Seconds since the screen was made."""
        return time.monotonic() - self._started

    def _end(self, mark: str, title: str, begun: float) -> None:
        self._status.stop()
        self._show(mark, title, begun)

    def _show(self, mark: str, title: str, begun: float) -> None:
        self.console.print(f"{mark} {escape(title)} [dim]{time.monotonic() - begun:.1f} s[/]", soft_wrap=True)
