/* Kills a program right before its Nth system call, counted over all of its threads.
 *
 *   killat N SET COMMAND [ARGUMENT]...     N = 0: never kill, only count
 *
 * SET is "all", or "effects": the calls after which something outside of the process can differ
 * (files, sockets). A kill between two of these leaves the same world as a kill right before the
 * second one, so they are all the points that can be told apart.
 *
 * strace counts `when=N` per thread and per system call ("Accounting of syscalls that are subject
 * to injection is done per syscall and per tracee"), so most points of a program with threads
 * cannot be named there. This is the same trick, a signal at the entry of the call, with one counter.
 *
 * A SIGTERM is handed on to the command. KILLAT_LIST=1 lists every counted call.
 *
 * Says on stderr, as its last line, "killat: killed before N NAME" or "killat: ended after N".
 * Exits 137 when it killed, else like the command.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/ptrace.h>

/* The name is what the last line says; calls that an architecture does not have are left out.
 * `fd` is the argument that names the descriptor written to, `flags` the one that may say O_CREAT. */
static const struct { long number; const char *name; int fd, flags; } EFFECTS[] = {
#define CALL(name, fd, flags) { SYS_##name, #name, fd, flags },
    CALL(write, 0, -1) CALL(writev, 0, -1) CALL(pwrite64, 0, -1) CALL(pwritev, 0, -1)
    CALL(pwritev2, 0, -1) CALL(sendto, 0, -1) CALL(sendmsg, 0, -1) CALL(sendmmsg, 0, -1)
    CALL(sendfile, 0, -1) CALL(copy_file_range, 2, -1) CALL(connect, -1, -1)
    CALL(fsync, -1, -1) CALL(fdatasync, -1, -1) CALL(msync, -1, -1) CALL(sync_file_range, -1, -1)
    CALL(ftruncate, -1, -1) CALL(fallocate, -1, -1) CALL(fchmod, -1, -1) CALL(fchmodat, -1, -1)
    CALL(openat, -1, 2) CALL(mkdirat, -1, -1) CALL(renameat2, -1, -1) CALL(linkat, -1, -1)
    CALL(unlinkat, -1, -1) CALL(exit_group, -1, -1)
#ifdef SYS_renameat
    CALL(renameat, -1, -1)
#endif
#ifdef SYS_rename
    CALL(open, -1, 1) CALL(rename, -1, -1) CALL(mkdir, -1, -1) CALL(link, -1, -1)
    CALL(unlink, -1, -1) CALL(rmdir, -1, -1) CALL(chmod, -1, -1)
#endif
};

/* Whether a descriptor is something of the process's own, such as the eventfd that wakes a thread. */
static int is_inner(pid_t thread, unsigned long long fd)
{
    char path[64], target[32] = "";
    snprintf(path, sizeof path, "/proc/%d/fd/%llu", (int)thread, fd);
    if (readlink(path, target, sizeof target - 1) < 0)
        return 0;
    return strncmp(target, "anon_inode:", 11) == 0 || strncmp(target, "pipe:", 5) == 0;
}

/* The name of a call whose outcome others can see, else NULL. */
static const char *effect(pid_t thread, const struct ptrace_syscall_info *info)
{
    for (size_t i = 0; i < sizeof EFFECTS / sizeof *EFFECTS; i++) {
        if (EFFECTS[i].number != (long)info->entry.nr)
            continue;
        if (EFFECTS[i].flags >= 0 && !(info->entry.args[EFFECTS[i].flags] & O_CREAT))
            return NULL;
        if (EFFECTS[i].fd >= 0 && is_inner(thread, info->entry.args[EFFECTS[i].fd]))
            return NULL;
        return EFFECTS[i].name;
    }
    return NULL;
}

static volatile pid_t traced;

static void forward(int number)
{
    kill(traced, number);
}

static void die(const char *what)
{
    fprintf(stderr, "killat: %s: %s\n", what, strerror(errno));
    exit(125);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: killat N all|effects COMMAND [ARGUMENT]...\n");
        return 125;
    }
    long at = atol(argv[1]), seen = 0;
    int all = strcmp(argv[2], "all") == 0, list = getenv("KILLAT_LIST") != NULL;
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0)
            die("ptrace");
        raise(SIGSTOP);
        execvp(argv[3], argv + 3);
        die(argv[3]);
    }
    traced = child;
    signal(SIGTERM, forward);
    int status;
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
        die("waitpid");
    /* EXITKILL: whoever kills this kills the command too. */
    if (ptrace(PTRACE_SETOPTIONS, child, 0,
               PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) != 0)
        die("PTRACE_SETOPTIONS");
    ptrace(PTRACE_SYSCALL, child, 0, 0);
    for (;;) {
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0 && errno == EINTR)
            continue;
        if (thread < 0)
            die("waitpid");
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (thread != child)
                continue;
            fprintf(stderr, "killat: ended after %ld\n", seen);
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        int stopped_by = WSTOPSIG(status), pass_on = 0;
        if (stopped_by == (SIGTRAP | 0x80)) {
            struct ptrace_syscall_info info;
            long size = ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info);
            if (size > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY) {
                const char *name = effect(thread, &info);
                if (all || name != NULL) {
                    seen++;
                    if (list)
                        fprintf(stderr, "killat: %ld %d %s %lld\n", seen, (int)thread,
                                name ? name : "-", (long long)info.entry.nr);
                    if (seen == at) {
                        /* At its entry a call with a deadly signal pending is not carried out. */
                        kill(child, SIGKILL);
                        while (waitpid(-1, &status, __WALL) > 0 || errno == EINTR)
                            ;
                        fprintf(stderr, "killat: killed before %ld %s\n", seen,
                                name ? name : "another");
                        return 137;
                    }
                }
            }
        } else if (status >> 16 == 0 && stopped_by != SIGSTOP && stopped_by != SIGTRAP) {
            pass_on = stopped_by;
        }
        ptrace(PTRACE_SYSCALL, thread, 0, pass_on);
    }
}
