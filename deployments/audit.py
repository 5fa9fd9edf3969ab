"""Whether the database of known vulnerabilities is reached, which `make audit` asks before it looks packages up there.

    python -m deployments.audit ADDRESS

Ends with status 1, and says so in one line, where it is not: a machine without a network is no fault of the project's.
"""

import json
import sys
import urllib.request
from collections.abc import Sequence
from urllib.error import URLError

PATIENCE = 10.0
"""Seconds."""


def unreached(address: str) -> str:
    """Why the database does not answer as one; '' where it does."""
    question = {"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "9.0.0"}
    request = urllib.request.Request(address, json.dumps(question).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            known = json.load(reply)
    except (URLError, OSError, ValueError) as error:
        return str(error)
    # That version has several: a page that answers everything with the same words is none.
    return (
        ""
        if isinstance(known, dict) and known.get("vulns")
        else "it knows nothing of a package that is known to be bad"
    )


def main(arguments: Sequence[str]) -> int:
    (address,) = arguments
    if why := unreached(address):
        sys.stdout.write(f"not audited: the database of vulnerabilities at {address} is not reached ({why})\n")
    return bool(why)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
