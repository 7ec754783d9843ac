"""Execute runs: play the dialogues of arms and write their records. Completed calls are never repeated."""

from imug_tts.calls import Budget, Journal, JournalWarning
from imug_tts.runs.arm import Arm, check, judge_identity
from imug_tts.runs.claims import WorkerState, workers
from imug_tts.runs.conversation import Conversation
from imug_tts.runs.dry_run import CallKind, Plan, plan_arm
from imug_tts.runs.execute import check_and_probe, execute
from imug_tts.runs.job import Run
from imug_tts.runs.journaled import count_journaled
from imug_tts.runs.memory import check_models
from imug_tts.runs.naming import folder_name, titles
from imug_tts.runs.one_study import check_one_study
from imug_tts.runs.outcome import said_of
from imug_tts.runs.pairs import Compared, Pair, compare_pairs, read_pairs
from imug_tts.runs.probes import Probed
from imug_tts.runs.rescoring import Rescoring
from imug_tts.runs.scoring_plan import ScoringPlan, plan_scoring
from imug_tts.runs.shares import Share
from imug_tts.runs.source import Source
from imug_tts.runs.transcript import Transcript
from imug_tts.runs.work import DialoguePlayer, Work

__all__ = [
    "Arm",
    "Budget",
    "CallKind",
    "Compared",
    "Conversation",
    "DialoguePlayer",
    "Journal",
    "JournalWarning",
    "Pair",
    "Plan",
    "Probed",
    "Rescoring",
    "Run",
    "ScoringPlan",
    "Share",
    "Source",
    "Transcript",
    "Work",
    "WorkerState",
    "check",
    "check_and_probe",
    "check_models",
    "check_one_study",
    "compare_pairs",
    "count_journaled",
    "execute",
    "folder_name",
    "judge_identity",
    "plan_arm",
    "plan_scoring",
    "read_pairs",
    "said_of",
    "titles",
    "workers",
]
