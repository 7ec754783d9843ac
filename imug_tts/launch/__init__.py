"""Runs the arms of a sweep as jobs, on this machine or on a SLURM cluster; submitit starts the jobs."""

from imug_tts.launch.jobs import Ended, Job, Jobs, known_jobs, read_jobs
from imug_tts.launch.queues import LocalQueue, Queue, SlurmQueue
from imug_tts.launch.slurm import SlurmJob, is_left_to_the_job, own_number, requeue, slurm_jobs
from imug_tts.launch.submit import check_queue, disk_of, submit
from imug_tts.launch.tasks import is_at_work, see_own_gpus, task_number
from imug_tts.launch.warning import Warned, go_on_later

__all__ = [
    "Ended",
    "Job",
    "Jobs",
    "LocalQueue",
    "Queue",
    "SlurmJob",
    "SlurmQueue",
    "Warned",
    "check_queue",
    "disk_of",
    "go_on_later",
    "is_at_work",
    "is_left_to_the_job",
    "known_jobs",
    "own_number",
    "read_jobs",
    "requeue",
    "see_own_gpus",
    "slurm_jobs",
    "submit",
    "task_number",
]
