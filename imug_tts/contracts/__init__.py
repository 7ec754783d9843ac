"""What implementations promise, and what passes between them.

Implementations import this package and `dialogue`, never each other.
"""

from imug_tts.contracts.benchmark import Benchmark, Score
from imug_tts.contracts.errors import (
    BackboneError,
    ConfigurationError,
    JudgeError,
    ModelDown,
    NoScorer,
    OutOfBudget,
    StorageError,
    TimedOut,
)
from imug_tts.contracts.judge import Judge, Ranker
from imug_tts.contracts.model import (
    MODEL_ROLES,
    Backbone,
    Candidate,
    Capabilities,
    Cost,
    Finish,
    Form,
    Local,
    MemoryNeed,
    ModelRole,
    Remote,
    Request,
    Sampling,
    Scalar,
    SeedGuarantee,
    models_by_role,
)
from imug_tts.contracts.record import (
    FINAL_OUTCOMES,
    HISTORIES,
    OUTCOMES,
    History,
    Outcome,
    Record,
    count_pools,
    count_verdicts,
)
from imug_tts.contracts.strategy import JudgeUse, Models, Scope, Setting, Strategy
from imug_tts.contracts.tracker import PlannedRun, Summary, Tracker

__all__ = [
    "FINAL_OUTCOMES",
    "HISTORIES",
    "MODEL_ROLES",
    "OUTCOMES",
    "Backbone",
    "BackboneError",
    "Benchmark",
    "Candidate",
    "Capabilities",
    "ConfigurationError",
    "Cost",
    "Finish",
    "Form",
    "History",
    "Judge",
    "JudgeError",
    "JudgeUse",
    "Local",
    "MemoryNeed",
    "ModelDown",
    "ModelRole",
    "Models",
    "NoScorer",
    "OutOfBudget",
    "Outcome",
    "PlannedRun",
    "Ranker",
    "Record",
    "Remote",
    "Request",
    "Sampling",
    "Scalar",
    "Scope",
    "Score",
    "SeedGuarantee",
    "Setting",
    "StorageError",
    "Strategy",
    "Summary",
    "TimedOut",
    "Tracker",
    "count_pools",
    "count_verdicts",
    "models_by_role",
]
