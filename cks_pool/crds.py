"""The CRD files, written from the models: `python -m cks_pool.crds [--check] DIRECTORY`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from pool.core.crds import definitions
from pool.core.resource import GROUP

HEADER = "# Generated from pool/core by `python -m cks_pool.crds deployments/crds`; edit the models instead.\n"


class _Plain(yaml.SafeDumper):
    """YAML without anchors: these files are read by people."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def files() -> dict[str, str]:
    """File name to content, as committed under `deployments/crds`."""
    return {
        f"{GROUP}_{crd['spec']['names']['plural']}.yaml": HEADER
        + yaml.dump(crd, Dumper=_Plain, sort_keys=False, width=110)
        for crd in definitions()
    }


def main(argv: list[str] | None = None) -> int:
    """Write the files, or with `--check` say which differ (exit status 1)."""
    parser = argparse.ArgumentParser("python -m cks_pool.crds", description="Generate the CRDs from the models.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file is not up to date")
    arguments = parser.parse_args(argv)
    if not arguments.directory.is_dir():
        parser.error(f"{arguments.directory} is no directory; create it, or name deployments/crds")
    stale = [name for name, text in files().items() if _read(arguments.directory / name) != text]
    if arguments.check:
        for name in stale:
            sys.stderr.write(f"{arguments.directory / name} differs from the models; run python -m cks_pool.crds\n")
        return 1 if stale else 0
    for name, text in files().items():
        (arguments.directory / name).write_text(text)
    return 0


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    raise SystemExit(main())
