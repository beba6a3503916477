"""`python -m demo.warm URL MODULE:FUNCTION [ARGUMENT...]`: load a program now, run it once URL answers.

Loading Prefect takes seconds of a core. While the server starts on one, the programs that need it load on another.
"""

from __future__ import annotations

import importlib
import sys
import time
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener


def main() -> int | None:
    """What FUNCTION returns. Whoever started this gives up on it when the server does not come up."""
    url, entry, *arguments = sys.argv[1:]
    module, _, function = entry.partition(":")
    run = getattr(importlib.import_module(module), function)
    while not _answers(url):
        time.sleep(0.05)
    sys.argv = [module, *arguments]
    return run()  # type: ignore[no-any-return]


def _answers(url: str) -> bool:
    # Loopback is never behind a proxy.
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(url, timeout=2):
            return True
    except (URLError, OSError):
        return False


if __name__ == "__main__":
    raise SystemExit(main())
