"""Runs the arms of a sweep as jobs, on this machine or on a SLURM cluster; submitit starts the jobs."""

from imug_tts.launch.jobs import Ended, Job, Jobs, known_jobs, read_jobs
from imug_tts.launch.queues import LocalQueue, Queue, SlurmQueue
from imug_tts.launch.slurm import SlurmJob, must_requeue_itself, own_job_id, requeue, slurm_jobs
from imug_tts.launch.submit import check_queue, disk_of, submit
from imug_tts.launch.tasks import is_at_work, see_own_gpus, task_number
from imug_tts.launch.warning import QueueSignals, requeue_if_due

__all__ = [
    "Ended",
    "Job",
    "Jobs",
    "LocalQueue",
    "Queue",
    "QueueSignals",
    "SlurmJob",
    "SlurmQueue",
    "check_queue",
    "disk_of",
    "is_at_work",
    "known_jobs",
    "must_requeue_itself",
    "own_job_id",
    "read_jobs",
    "requeue",
    "requeue_if_due",
    "see_own_gpus",
    "slurm_jobs",
    "submit",
    "task_number",
]
