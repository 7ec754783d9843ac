"""Reads and writes the files of a run; no other package does.

A run's folder holds `manifest.json` (the run's identity and planned turns), `turns.jsonl` (one record per
answered or failed turn) and `images/`. Runs of version 0.1 are readable too.

While processes work on a run, each appends whole dialogues to its own segment, `turns/<worker>.jsonl`.
Readers see segments and `turns.jsonl` as one sequence in planned order; of a replayed dialogue they see the
newest records. When the last process ends, it merges the segments into `turns.jsonl`.
"""

from imug_tts.records.comparable import Comparable, Difference, ModelParts, first_difference, model_parts
from imug_tts.records.manifest import (
    HEADING,
    MANIFEST,
    SEGMENTS,
    TURNS,
    Manifest,
    PlannedDialogue,
    RecordError,
    arm_key,
    check_unchanged,
    digest,
    image_files,
    image_path,
    plain,
    read_manifest,
    run_folders,
    stranger,
    with_digest,
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
    "HEADING",
    "MANIFEST",
    "SEGMENTS",
    "TURNS",
    "Comparable",
    "Dialogue",
    "Difference",
    "Line",
    "Manifest",
    "ModelParts",
    "PlannedDialogue",
    "RecordError",
    "arm_key",
    "check_unchanged",
    "digest",
    "first_difference",
    "image_files",
    "image_path",
    "line_of",
    "merge_turns",
    "model_parts",
    "plain",
    "read_dialogues",
    "read_manifest",
    "read_turns",
    "record_of",
    "run_folders",
    "sample_name",
    "segment_files",
    "segment_path",
    "stranger",
    "turn_files",
    "with_digest",
]
