# Keeps one PostgreSQL cluster, in a folder it makes and removes itself. $1: the folder of PostgreSQL's programs.
#
# First line out: the cluster's folder. Then it reads commands from stdin, one a line, and answers each with a line, "done" or
# "failed"; what the programs said is in the folder, in "output". Stdin is a pipe from the test process. It closes however that
# process ends, and then the cluster goes, whatever it was in the middle of.
bin=$1
trap '' PIPE
cd /
folder=$(mktemp -d "${TMPDIR:-/tmp}/slamon-postgres-XXXXXXXX") || exit 1
data=$folder/data

# PostgreSQL refuses to run as root.
if [ "$(id -u)" = 0 ]; then
    chown postgres: "$folder"
    unprivileged() { setpriv --reuid postgres --regid "$(id -g postgres)" --init-groups -- "$@"; }
    # Programs in somebody's home may be closed to that user, or some of their files may be.
    if ! closed=$(unprivileged find "$bin/.." ! -readable -print -quit 2>&1) || [ -n "$closed" ]; then
        cp -R "$bin/.." "$folder/programs" && chmod -R a+rX "$folder/programs" && bin=$folder/programs/bin
    fi
else
    unprivileged() { "$@"; }
fi

answer() {
    if unprivileged "$@" </dev/null >>"$folder/output" 2>&1; then echo "done"; else echo failed; fi
}

echo "$folder"
while read -r command argument; do
    case $command in
    create)
        answer "$bin/initdb" --pgdata="$data" --username=postgres --auth=trust --no-sync \
            --encoding="${argument%% *}" --locale="${argument##* }"
        ;;
    clone)
        # What is in $bin may be the server alone.
        answer "${argument#* }/pg_basebackup" --pgdata="$data" --host=127.0.0.1 --port="${argument%% *}" --username=postgres \
            --checkpoint=fast --wal-method=stream --write-recovery-conf --no-sync
        ;;
    promote)
        answer "$bin/pg_ctl" promote --pgdata="$data" --wait --timeout=120
        ;;
    start)
        answer "$bin/pg_ctl" start --pgdata="$data" --log="$folder/log" --options="-p $argument" --wait --timeout=120
        ;;
    stop)
        answer "$bin/pg_ctl" stop --pgdata="$data" --mode="$argument" --wait --timeout=120
        ;;
    esac
done

unprivileged "$bin/pg_ctl" stop --pgdata="$data" --mode=immediate --wait --timeout=120 </dev/null >/dev/null 2>&1
rm -rf "$folder"
