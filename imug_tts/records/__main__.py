"""`python -m imug_tts.records RUN...` prints the records of runs uncompressed, one line of JSON each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from imug_tts.records import RecordError, read_turns


def main(folders: list[str]) -> int:
    """Print the records of runs; return the exit status, 1 if a record cannot be read."""
    try:
        for folder in folders:
            for line in read_turns(Path(folder)):
                print(json.dumps(line.record, separators=(",", ":")))
    except RecordError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
