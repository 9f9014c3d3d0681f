#!/usr/bin/env bash
# Power loss: no acknowledged work may be lost, none done twice. Needs root, loop devices, ext4 and
# xfs_io (Debian: e2fsprogs, xfsprogs).
#
#   tests/deep/power.sh [--cuts N] [--binary FILE] [--control]
#
# The data directory lies on an ext4 file system of its own. A daemon works, a loop of commands
# orders jobs, and the id of each acknowledged one is written down elsewhere. At a random moment the
# file system is shut down without flushing its journal (`xfs_io -x -c shutdown`: what was not synced
# is gone, as after a power cut), everything is killed, the file system mounted again. Every second
# time the processes are stopped first, so that they do not even see an error. At the end all work
# must be done, each file whole, and the vendor's ledger must show each job once.
#
# --control runs the same with synchronous=NORMAL and succeeds only if acknowledged work is lost. That
# setting does not exist in the product: a copy of the sources is changed and built in target/normal.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'power: %s\n' "$*"; }
die() {
    printf 'power: %s\n' "$*" >&2
    exit 1
}

cuts=20 binary=target/debug/darkroom control=''
while [ $# -gt 0 ]; do
    case "$1" in
        --cuts) cuts="$2" && shift 2 ;;
        --binary) binary="$2" && shift 2 ;;
        --control) control=yes && shift ;;
        *) die "unknown argument: $1" ;;
    esac
done

[ "$(id -u)" -eq 0 ] || die 'needs root, for loop devices and mounting'
for tool in losetup mkfs.ext4 xfs_io sqlite3; do
    command -v "$tool" >/dev/null || die "$tool is missing (Debian: mount e2fsprogs xfsprogs sqlite3)"
done

# A copy of the sources with the other setting, built beside the real one.
build_control() {
    local sources=target/normal/sources
    rm -rf "$sources" && mkdir -p "$sources"
    cp -r Cargo.toml Cargo.lock src migrations config "$sources"
    # Tests and examples are not built, but Cargo.toml may name them.
    cp -r tests "$sources"
    sed -i 's/SqliteSynchronous::Full/SqliteSynchronous::Normal/; s/synchronous != 2/synchronous != 1/' \
        "$sources/src/store/open.rs"
    [ "$(diff src/store/open.rs "$sources/src/store/open.rs" | grep -c '^>')" -eq 2 ] ||
        die 'src/store/open.rs has changed: the control cannot plant its fault any more'
    CARGO_TARGET_DIR=target/normal/target cargo build --locked --quiet \
        --manifest-path "$sources/Cargo.toml"
    binary=target/normal/target/debug/darkroom
}
if [ -n "$control" ]; then
    build_control
fi
binary="$(realpath "$binary")"
[ -x "$binary" ] || die "$binary is not there: cargo build"

work="$(mktemp -d /var/tmp/darkroom-power.XXXXXX)"
disk="$work/disk" data="$work/disk/data" acknowledged="$work/acknowledged"
simulator='' daemon='' submitter=''
: >"$acknowledged"

cleanup() {
    local status=$?
    for process in $submitter $daemon $simulator; do
        kill -KILL -- "-$process" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    if mountpoint -q "$disk"; then
        umount "$disk" || umount -l "$disk"
    fi
    if [ "$status" -eq 0 ]; then
        rm -rf "$work"
    else
        say "everything is left in $work"
    fi
}
trap cleanup EXIT

unset PHOTOGPT_API_KEY PHOTOGPT_BASE_URL RUST_LOG "${!DARKROOM@}"
export HOME=/nonexistent PHOTOGPT_API_KEY=test-key
# Every process leads a group of its own, so that a kill takes its children along.
set -m

# Answers the address that a process says on its first line.
address() {
    local line
    for _ in $(seq 200); do
        line="$(grep -o -m1 'http://[^ ]*' "$1" || true)"
        if [ -n "$line" ]; then
            printf '%s' "$line"
            return
        fi
        sleep 0.05
    done
    return 1
}

"$binary" simulate --listen 127.0.0.1:0 --speed 6000 </dev/null >"$work/simulator.out" 2>&1 &
simulator=$!
PHOTOGPT_BASE_URL="$(address "$work/simulator.out")" || die 'the simulator did not start'
export PHOTOGPT_BASE_URL DARKROOM_DATA_DIR="$data" DARKROOM_CONFIG="$work/darkroom.toml"
cat >"$DARKROOM_CONFIG" <<'TOML'
[poll]
job = "100ms"
[doubt]
settle = "1s"
relist = "200ms"
[limits]
requests_per_second = 500
[disk]
floor = "1MB"
TOML

truncate -s 512M "$work/image"
mkfs.ext4 -q "$work/image"
mkdir "$disk"
mount -o loop "$work/image" "$disk" ||
    die 'the image cannot be mounted: are loop devices allowed here?'

# Starts the daemon; answers 1 if it does not come up, with its words in the log.
serve() {
    : >"$work/daemon.out"
    "$binary" serve --listen 127.0.0.1:0 </dev/null >"$work/daemon.out" 2>>"$work/daemon.log" &
    daemon=$!
    address "$work/daemon.out" >/dev/null
}

# Orders jobs without end, and writes down the ids of those that were acknowledged.
order() {
    local answer number
    for number in $(seq 100000); do
        answer="$("$binary" image --model nanobanana --prompt "number $number" --json 2>/dev/null)" ||
            continue
        # The id is the first field.
        printf '%s\n' "$answer" | grep -o -m1 '[0-9a-f]\{8\}-[0-9a-f-]\{27\}' | head -1 >>"$acknowledged"
    done
}

# Several side by side, in one process group.
submit() {
    order &
    order &
    order &
    wait
}

query() {
    sqlite3 -readonly -cmd '.timeout 10000' "$data/darkroom.db" "$1"
}

# Prints the acknowledged ids that the database does not have.
missing() {
    comm -23 <(sort -u "$acknowledged") <(query 'SELECT id FROM jobs' 2>/dev/null | sort -u)
}

lost=0 lossy=0
for cut in $(seq "$cuts"); do
    serve || {
        [ -n "$control" ] || die "the daemon does not start after cut $((cut - 1)): $(tail -3 "$work/daemon.log")"
        say "cut $((cut - 1)): the daemon does not start any more"
        lossy=$((lossy + 1))
        break
    }
    gone="$(missing | wc -l)"
    if [ "$gone" -gt 0 ]; then
        lost=$((lost + gone)) lossy=$((lossy + 1))
        say "cut $((cut - 1)): $gone acknowledged jobs are lost"
        # Counted once.
        query 'SELECT id FROM jobs' >"$acknowledged"
    fi
    submit &
    submitter=$!
    sleep "$(printf '%d.%03d' $((1 + RANDOM % 2)) $((RANDOM % 1000)))"
    if [ $((cut % 2)) -eq 0 ]; then
        kill -STOP -- "-$submitter" "-$daemon"
    fi
    xfs_io -x -c shutdown "$disk"
    kill -KILL -- "-$submitter" "-$daemon"
    # The shell's own words about killed jobs are no news.
    exec 3>&2 2>/dev/null
    wait "$submitter" "$daemon" || true
    submitter='' daemon=''
    # A killed process may take a moment to let go.
    for _ in $(seq 100); do
        umount "$disk" 2>/dev/null && break
        sleep 0.05
    done
    exec 2>&3 3>&-
    ! mountpoint -q "$disk" || die "$disk cannot be unmounted"
    mount -o loop "$work/image" "$disk"
done

if [ -z "$daemon" ]; then
    serve || [ -n "$control" ] || die "the daemon does not start: $(tail -3 "$work/daemon.log")"
fi
gone="$(missing | wc -l)"
if [ "$gone" -gt 0 ]; then
    lost=$((lost + gone)) lossy=$((lossy + 1))
fi

if [ -n "$control" ]; then
    say "control, synchronous=NORMAL: $lost acknowledged jobs lost, in $lossy of $cuts cuts"
    [ "$lossy" -gt 0 ] || die 'nothing was lost with synchronous=NORMAL: this test proves nothing here'
    exit 0
fi

for _ in $(seq 600); do
    open="$(query 'SELECT count(*) FROM work WHERE finished_at IS NULL')"
    [ "$open" -gt 0 ] || break
    sleep 0.2
done
[ "$open" -eq 0 ] || die "$open pieces of work never finish: $(query 'SELECT kind, state, count(*) FROM work GROUP BY 1, 2')"

failures=0
expect() {
    if [ "$2" != "$3" ]; then
        say "$1: $2 instead of $3"
        failures=$((failures + 1))
    fi
}
jobs="$(query 'SELECT count(*) FROM jobs')"
ledger="$(sed -n 's/.*"jobs":\([0-9]*\).*/\1/p' <(curl -sS "${PHOTOGPT_BASE_URL%/api}/_sim/ledger?effects=false"))"
expect 'integrity' "$(query 'PRAGMA integrity_check')" ok
expect 'work that did not succeed' "$(query "SELECT count(*) FROM work WHERE state <> 'succeeded'")" 0
expect "jobs at the vendor, of $jobs rows" "$ledger" "$jobs"
damaged=0
while IFS='|' read -r path hash; do
    [ "$(sha256sum "$data/$path" | cut -d' ' -f1)" = "$hash" ] || damaged=$((damaged + 1))
done < <(query 'SELECT path, sha256 FROM outputs')
expect 'damaged or missing files' "$damaged" 0

say "$cuts cuts, $(sort -u "$acknowledged" | wc -l) acknowledged jobs, $lost lost; $jobs rows, $ledger jobs at the vendor"
[ "$lost" -eq 0 ] && [ "$failures" -eq 0 ]
