/* Ways to start a program that a shell does not have. Usage: odd HOW [WHAT] PROGRAM [ARGUMENT]... */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void fail(const char *what) {
    perror(what);
    _exit(99);
}

static void reap(pid_t pid, int flags) {
    int status;
    if (pid < 0) fail("fork");
    while (waitpid(pid, &status, flags) < 0)
        if (errno != EINTR) fail("waitpid");
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 99) _exit(99);
}

static void run(char **argv) {
    pid_t pid = fork();
    if (pid == 0) {
        execv(argv[0], argv);
        _exit(99);
    }
    reap(pid, 0);
}

static pid_t clone3_as(pid_t wanted, unsigned long long flags, int *pidfd) {
    struct clone_args args = {.flags = flags, .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD};
    args.pidfd = (unsigned long long)(size_t)pidfd;
    if (wanted > 0) {
        args.set_tid = (unsigned long long)(size_t)&wanted;
        args.set_tid_size = 1;
    }
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static void *exec_here(void *argv) {
    execv(((char **)argv)[0], argv);
    _exit(99);
}

static void *run_here(void *argv) {
    run(argv);
    return NULL;
}

static void in_thread(void *(*what)(void *), char **argv) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, what, argv) != 0) fail("pthread_create");
    pthread_join(thread, NULL);
}

/* What libaudit refuses to send: the text as it is, newlines too. */
static void message(const char *text) {
    struct {
        struct nlmsghdr head;
        char text[8000];
    } request = {.head = {.nlmsg_type = AUDIT_USER, .nlmsg_flags = NLM_F_REQUEST}};
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);
    snprintf(request.text, sizeof request.text, "%s", text);
    request.head.nlmsg_len = (unsigned)NLMSG_SPACE(strlen(request.text) + 1);
    if (sendto(fd, &request, request.head.nlmsg_len, 0, (struct sockaddr *)&kernel,
               sizeof kernel) < 0)
        fail("sendto");
}

static void from_memory(char **argv) {
    int from = open(argv[0], O_RDONLY), to = memfd_create("demo", MFD_CLOEXEC);
    struct stat status;
    if (from < 0 || to < 0 || fstat(from, &status) < 0) fail("memfd");
    for (off_t left = status.st_size; left > 0;) {
        ssize_t sent = sendfile(to, from, NULL, (size_t)left);
        if (sent <= 0) fail("sendfile");
        left -= sent;
    }
    syscall(SYS_execveat, to, "", argv, environ, AT_EMPTY_PATH);
    fail("execveat");
}

int main(int argc, char **argv) {
    if (argc < 3) return 99;
    const char *how = argv[1];
    char **rest = argv + 2;
    if (!strcmp(how, "by-fd")) {
        int fd = open(rest[0], O_RDONLY);
        syscall(SYS_execveat, fd, "", rest, environ, AT_EMPTY_PATH);
        fail("execveat");
    } else if (!strcmp(how, "by-folder")) { /* FOLDER NAME ARGUMENT... */
        int fd = open(rest[0], O_RDONLY | O_DIRECTORY);
        syscall(SYS_execveat, fd, rest[1], rest + 1, environ, 0);
        fail("execveat");
    } else if (!strcmp(how, "message")) { /* TEXT */
        message(rest[0]);
    } else if (!strcmp(how, "deleted")) { /* the program's file is gone before it runs */
        int fd = open(rest[0], O_RDONLY | O_CLOEXEC);
        unlink(rest[0]);
        syscall(SYS_execveat, fd, "", rest, environ, AT_EMPTY_PATH);
        fail("execveat");
    } else if (!strcmp(how, "from-memory")) {
        from_memory(rest);
    } else if (!strcmp(how, "without-arguments")) {
        char *none[] = {NULL};
        execve(rest[0], none, environ);
        fail("execve");
    } else if (!strcmp(how, "fork")) { /* the call itself, which libc no longer makes */
        pid_t pid = (pid_t)syscall(SYS_fork);
        if (pid == 0) {
            execv(rest[0], rest);
            _exit(99);
        }
        reap(pid, 0);
    } else if (!strcmp(how, "vfork")) {
        pid_t pid = vfork();
        if (pid == 0) {
            execv(rest[0], rest);
            _exit(99);
        }
        reap(pid, 0);
    } else if (!strcmp(how, "spawn")) {
        pid_t pid;
        if (posix_spawn(&pid, rest[0], NULL, NULL, rest, environ) != 0) fail("posix_spawn");
        reap(pid, 0);
    } else if (!strcmp(how, "prefork")) { /* master, worker of a worker, program */
        pid_t worker = fork();
        if (worker == 0) {
            pid_t second = (pid_t)syscall(SYS_fork);
            if (second == 0) {
                run(rest);
                _exit(0);
            }
            reap(second, 0);
            _exit(0);
        }
        reap(worker, 0);
    } else if (!strcmp(how, "in-thread")) {
        in_thread(run_here, rest);
    } else if (!strcmp(how, "thread-execs")) {
        in_thread(exec_here, rest);
    } else if (!strcmp(how, "sibling")) { /* CLONE_PARENT: the caller's parent is the child's too */
        int pidfd;
        pid_t pid = clone3_as(0, CLONE_PARENT | CLONE_PIDFD, &pidfd);
        if (pid < 0) fail("clone3");
        if (pid == 0) {
            execv(rest[0], rest);
            _exit(99);
        }
        struct pollfd ended = {.fd = pidfd, .events = POLLIN};
        poll(&ended, 1, -1);
    } else if (!strcmp(how, "fork-as")) { /* PID PROGRAM...: a process of this pid runs it */
        pid_t pid = clone3_as((pid_t)atoi(rest[0]), 0, NULL);
        if (pid == 0) {
            run(rest + 1);
            _exit(0);
        }
        reap(pid, 0);
    } else if (!strcmp(how, "exec-as")) { /* PID PROGRAM...: a process of this pid becomes it */
        pid_t pid = clone3_as((pid_t)atoi(rest[0]), 0, NULL);
        if (pid == 0) {
            execv(rest[1], rest + 1);
            _exit(99);
        }
        reap(pid, 0);
    } else {
        return 99;
    }
    return 0;
}
