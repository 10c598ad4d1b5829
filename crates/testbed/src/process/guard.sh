# Runs "$@" so that it ends when stdin does: stdin is a pipe from the test process, which closes however that process ends.
# Started as the leader of a process group of its own, so $$ names the group, and the watcher, a member of it, keeps that
# number from being given to anybody else while the pipe is open.
exec 3<&0 </dev/null
{
    read -r _
    kill -s KILL -- "-$$"
} <&3 3<&- >/dev/null 2>&1 &
exec "$@" 3<&- >&2
