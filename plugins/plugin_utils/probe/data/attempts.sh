# shellcheck shell=sh
# What the probe's container runs: three attempts, and one report of how each ended, as its termination message.
#
# It needs a POSIX shell with timeout, tr, head, mkdir, mount, umount and dd (busybox has them), strace and socat.
# PROBE_ID tells this report from others, PROBE_STATE is the device of the STATE partition. PROBE_ROOT is set by
# tests only. Nothing that is read is kept: one byte of a file, into /dev/null.

root=${PROBE_ROOT-}
export LC_ALL=C
report="probe 1 $PROBE_ID"

add() {
    report="$report
$*"
}

# Who tries: nothing but SELinux refuses a process with every capability in the node's own user namespace.
uid=-
caps=-
while read -r name real effective rest; do
    case $name in
    Uid:) uid=$effective ;;
    CapEff:) caps=$real ;;
    esac
done < "$root/proc/self/status"
inside=- outside=- many=-
read -r inside outside many < "$root/proc/self/uid_map"
boot=-
read -r boot < "$root/proc/sys/kernel/random/boot_id"
label=-
read -r label < "$root/proc/self/attr/current"
add "self $uid $caps $inside/$outside/$many $boot ${label:--}"

# try ID STEP COMMAND...: one line "try ID STEP EXIT PID TEXT". With hostPID the process has its number on the node.
try() {
    id=$1 step=$2
    shift 2
    text=$(timeout 3 sh -c 'echo "$$"; exec "$@" 2>&1' sh "$@" 2>&1 < /dev/null)
    code=$?
    pid=${text%%"
"*}
    case $pid in
    '' | *[!0-9]*) pid=- ;;
    *) text=${text#"$pid"} ;;
    esac
    text=$(printf '%s' "$text" | tr '\n' '|' | tr -c '\040-\176' '?' | head -c 500)
    add "try $id $step $code $pid $text"
    return "$code"
}

try pid1 attach strace -p 1 -e trace=none -e signal=none -o /dev/null
try machined connect socat -u /dev/null "UNIX-CONNECT:$root/host/system/run/machined/machine.sock"

file=$root/host/system/state/config.yaml
mounted=
if [ ! -e "$file" ]; then
    # Talos mounts STATE only while it needs it.
    file=
    if [ -z "$PROBE_STATE" ]; then
        add "try state mount - - the device of STATE is not known"
    elif mkdir -p "$root/tmp/state" && try state mount mount -o ro "$root/host$PROBE_STATE" "$root/tmp/state"; then
        mounted=yes
        file=$root/tmp/state/config.yaml
    fi
fi
if [ -n "$file" ]; then
    try state open dd if="$file" of=/dev/null bs=1 count=1
fi
if [ -n "$mounted" ]; then
    umount "$root/tmp/state"
fi

add "end $PROBE_ID"
printf '%s\n' "$report" > "$root/dev/termination-log"
exit 0
