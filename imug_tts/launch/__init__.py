"""Jobs of a sweep as other processes, on this machine or on a cluster of SLURM; submitit starts them."""

from imug_tts.launch.jobs import Ended, Job, Jobs, latest_jobs
from imug_tts.launch.queues import LocalQueue, Queue, SlurmQueue
from imug_tts.launch.slurm import SlurmJob, slurm_jobs
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
    "latest_jobs",
    "see_own_gpus",
    "slurm_jobs",
    "submit",
    "task_number",
]
