"""The files of a run: written and read here and nowhere else.

A run's folder holds `manifest.json` (what the run is, and every turn that it plans), `turns.jsonl` (one
record per answered or failed turn) and `images/`. The engine, swapped histories, scoring and the analysis all
use this package. Runs that version 0.1 wrote are read as if this version had written them.

While processes work on a run, each appends what it plays to a segment of its own, `turns/<worker>.jsonl`, a
whole dialogue at a time. A reader sees segments and `turns.jsonl` as one, in planned order, and of a dialogue
that was played again the newest records. In the end the segments are merged into `turns.jsonl`.
"""

from imug_tts.records.manifest import (
    MANIFEST,
    SEGMENTS,
    TURNS,
    Manifest,
    PlannedDialogue,
    RecordError,
    arm_key,
    digest,
    image_files,
    image_path,
    plain,
    read_manifest,
    run_folders,
)
from imug_tts.records.turns import (
    Dialogue,
    Line,
    line_of,
    merge_turns,
    read_dialogues,
    read_turns,
    record_of,
    sample_name,
    segment_files,
    segment_path,
    turn_files,
)

__all__ = [
    "MANIFEST",
    "SEGMENTS",
    "TURNS",
    "Dialogue",
    "Line",
    "Manifest",
    "PlannedDialogue",
    "RecordError",
    "arm_key",
    "digest",
    "image_files",
    "image_path",
    "line_of",
    "merge_turns",
    "plain",
    "read_dialogues",
    "read_manifest",
    "read_turns",
    "record_of",
    "run_folders",
    "sample_name",
    "segment_files",
    "segment_path",
    "turn_files",
]
