#!/usr/bin/env bash
# A real SLURM of one node on this machine, for trying sweeps and for the tests.
#
#     slurm/local_cluster.sh up [DIR]      start it, or start again what of it is dead; says what to export
#     slurm/local_cluster.sh down [DIR]    cancel its jobs and end its daemons
#
# Needs root, and on Debian: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge
# No systemd, no cgroups, no accounts. Everything is below DIR (by default /tmp/imug_slurm), whose ports, key
# and processes are its own: several clusters can run side by side.
# SLURM_CPUS, SLURM_MAX_ARRAY, SLURM_FAKE_GPUS: processors that the node claims (default: 4 or more), the largest array
# (1000), and GPUs that it pretends to have (0): jobs are told their numbers, and find no device.
set -euo pipefail

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
[ $# -ge 1 ] && [ $# -le 2 ] || usage
DIR=$(realpath -m "${2:-/tmp/imug_slurm}")
export SLURM_CONF=$DIR/slurm.conf
HOST=$(hostname -s)

free_ports() {
    python3 -c 'import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in held))'
}

write_conf() {
    local ports cpus memory gpus gpu
    read -r -a ports <<< "$(free_ports)"
    cpus=$(nproc)
    cpus=${SLURM_CPUS:-$((cpus > 4 ? cpus : 4))}
    gpus=${SLURM_FAKE_GPUS:-0}
    memory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
    cat > "$SLURM_CONF.new" << END
ClusterName=imug_local
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job begins again when the credential of its last start has expired: by default after 2 minutes.
AuthInfo=socket=$DIR/munge/socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=2
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmdPidFile=$DIR/slurmd.pid
SlurmctldLogFile=$DIR/slurmctld.log
SlurmdLogFile=$DIR/slurmd.log
MaxArraySize=$((${SLURM_MAX_ARRAY:-1000} + 1))
JobRequeue=1
KillWait=10
# Without accounting, scontrol is all that tells of jobs that have ended.
MinJobAge=86400
SlurmdTimeout=60
ReturnToService=2
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory Gres=gpu:$gpus State=UNKNOWN
PartitionName=local Nodes=$HOST Default=YES MaxTime=INFINITE State=UP
END
    : > "$DIR/gres.conf"
    for ((gpu = 0; gpu < gpus; gpu++)); do
        mknod "$DIR/gpu$gpu" c 1 3 # the null device
        echo "NodeName=$HOST Name=gpu File=$DIR/gpu$gpu" >> "$DIR/gres.conf"
    done
    mv "$SLURM_CONF.new" "$SLURM_CONF"
    # Later versions of SLURM look for cgroups unless they are told not to; earlier ones do not know the word.
    if [ "$(printf '%s\n' 23.11 "$(slurmctld -V | cut -d' ' -f2)" | sort -V | head -n1)" = 23.11 ]; then
        echo CgroupPlugin=disabled > "$DIR/cgroup.conf"
    fi
}

# The process of a daemon of this cluster, if it lives: the pid file may be old, and its number another's now.
pid_of() {
    local pid
    pid=$(cat "$DIR/$1.pid" 2> /dev/null) || return 1
    tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -qF "$DIR/" && echo "$pid"
}

is_up() { [ "$(sinfo --noheader --format=%T 2> /dev/null)" = idle ] || [ -n "$(sinfo --noheader --states=alloc,mix 2> /dev/null)" ]; }

wait_for() {
    local what=$1 _
    shift
    for _ in $(seq 100); do
        "$@" && return
        sleep 0.2
    done
    echo "$what within 20 s; see $DIR/*.log" >&2
    exit 1
}

need() {
    local tool
    [ "$(id -u)" = 0 ] || { echo "the daemons of SLURM need root; start this as root" >&2; exit 2; }
    for tool in munged slurmctld slurmd sbatch python3; do
        command -v "$tool" > /dev/null && continue
        echo "$tool is missing; Debian: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge" >&2
        exit 2
    done
}

up() {
    PATH=$PATH:/usr/sbin
    need
    mkdir -p "$DIR"/{munge,state,spool}
    chmod 755 "$DIR" "$DIR/munge"
    [ -e "$SLURM_CONF" ] || write_conf
    [ -e "$DIR/munge/key" ] || (umask 077 && head -c 1024 /dev/urandom > "$DIR/munge/key")
    pid_of munged > /dev/null || munged --force --key-file="$DIR/munge/key" --socket="$DIR/munge/socket" \
        --pid-file="$DIR/munged.pid" --log-file="$DIR/munged.log" --seed-file="$DIR/munge/seed"
    pid_of slurmctld > /dev/null || slurmctld -f "$SLURM_CONF"
    pid_of slurmd > /dev/null || slurmd -f "$SLURM_CONF" -N "$HOST"
    # SLURM sets a node aside whose daemon died while a job was queued again.
    case $(sinfo --noheader --format=%T 2> /dev/null) in
        drain* | down*) scontrol update nodename="$HOST" state=resume ;;
    esac
    wait_for "the node did not come up" is_up
    echo "export SLURM_CONF=$SLURM_CONF"
}

no_jobs() { [ -z "$(squeue --noheader 2> /dev/null)" ]; }

down() {
    local daemon pid
    if pid_of slurmctld > /dev/null && pid_of slurmd > /dev/null; then
        squeue --noheader --format=%A | sort -u | xargs --no-run-if-empty scancel --full --signal=KILL || true
        squeue --noheader --format=%A | sort -u | xargs --no-run-if-empty scancel || true
        wait_for "jobs did not end" no_jobs
    fi
    for daemon in slurmd slurmctld munged; do
        pid=$(pid_of "$daemon") || continue
        kill "$pid"
        wait_for "$daemon did not end" eval "! kill -0 $pid 2> /dev/null"
    done
    # What is left is a cluster that `up` would begin anew; the logs stay.
    rm -rf "$SLURM_CONF" "$DIR"/{cgroup.conf,gres.conf} "$DIR"/gpu* "$DIR/munge" "$DIR/state" "$DIR/spool"
}

case $1 in
    up) up ;;
    down) down ;;
    *) usage ;;
esac
