"""The `cks-pool` command: look at pools, hand out clusters, run the work, find out what is wrong.

Exit status: 0 done; 1 it was tried and failed; 2 bad input or a part that cannot be reached, with one line that names
the cure; 130 and 143 stopped by Ctrl-C or SIGTERM. `doctor` has its own: 1 warnings, 2 errors.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

from cks_pool.about import settings_table
from cks_pool.app import NAME, app
from cks_pool.deployed import FLOWS
from cks_pool.errors import REFUSED, BadInput, Failed, complain, exit_status
from cks_pool.options import behind_command
from pool.core.errors import PoolError

INTERRUPTED, BROKEN_PIPE = 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script. Returns the exit status."""
    words = behind_command(sys.argv[1:] if argv is None else argv)
    try:
        return int(app(words, exit_on_error=False, print_error=False, result_action="return_value") or 0)
    except CycloptsError as error:
        complain(f"{error} See {' '.join([NAME, *(error.command_chain or ())])} --help")
        return REFUSED
    except (PoolError, BadInput, Failed) as error:
        complain(error)
        return exit_status(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read has seen enough (head, less). Nothing more is written, at the interpreter's end neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


__all__ = ["FLOWS", "main", "settings_table"]

if __name__ == "__main__":
    raise SystemExit(main())
