#!/bin/bash
# Score the answers of a run with jobs that share the work; the arguments are those of experiments/score.py:
#
#     sbatch --array=0-7 slurm/score.sh outputs=/shared/me/bagel/RUN output=/shared/me/scores/RUN \
#         benchmark.root=/shared/imug judge.base_url=http://judge:8000/v1 judge.model=NAME
#
# Options of sbatch before the name of this file replace those below. The same command again goes on.
#SBATCH --job-name=imug_score
#SBATCH --array=0-3
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=score_%A_%a.log

shard=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN))
srun python experiments/score.py "$@" shards="$SLURM_ARRAY_TASK_COUNT" shard="$shard"
status=$?
# Interrupted by the warning before the time limit (130), or warned before Python listened (143): go on later.
# scancel ends this script too, so that nothing comes back that is cancelled.
case $status in
    130 | 143) scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" ;;
esac
exit $status
