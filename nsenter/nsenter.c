//go:build linux && cgo

/*
 * The bootstrap joins namespaces before the Go runtime starts its threads: a process with several threads cannot join a
 * user, mount or time namespace. Without NSOPS_CHANNEL, or started set-user-ID, it does nothing. Otherwise, in this order:
 *   receive ── reads one request from the inherited socket; the other end is our parent's, or was ours before a switch
 *   thread ─── refuses a process with other threads: they would stay outside
 *   harden ─── makes the process non-dumpable, drops supplementary groups, starts a new session keyring: privileges.c
 *   lifeline ─ has the kernel kill us when our parent ends
 *   join ───── calls setns(pidfd, types) once, or goes over the descriptors in three passes
 *   files ──── takes the target's root, closes inherited descriptors, mounts /sys if requested: files.c
 *   become ─── changes IDs and capabilities: privileges.c
 *   fork ───── if a PID namespace was joined: only a child is in it
 *   lifeline ─ once more: the join, changes of credentials and the fork disarm it
 * Then it sends a JOINED record, and the Go runtime starts. If a step fails, it sends a FAILED record and calls _exit(125).
 * It makes only system calls: no allocation, no stdio, no locale, nothing that loads a file of the target.
 */
#define _GNU_SOURCE
#include "nsenter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct nsops_worker nsops_worker = { -1, 0, -1, 0 };
struct nsops_request nsops_request;
int files[NSOPS_TYPES + 1];
static int channel = -1;

static void report(int kind, int stage, uint32_t type, int error, int pid, const char *step)
{
	struct nsops_record record = { NSOPS_MAGIC, (uint16_t)kind, (uint16_t)stage, type, error, pid, { 0 }, 0 };

	memcpy(record.step, step, strnlen(step, sizeof record.step));
	send(channel, &record, sizeof record, MSG_NOSIGNAL);
}

/* Nobody reads the records of a switched process, so it prints on stderr why it ends. */
static void print_failure(const char *step, int error)
{
	char text[] = "nsops: bootstrap: errno 000 at               \n";

	for (int i = 26; i > 23 && error; i--, error /= 10)
		text[i] = (char)('0' + error % 10);
	memcpy(text + 31, step, strnlen(step, 14));
	(void)!write(STDERR_FILENO, text, sizeof text - 1);
}

void nsops_fail(int stage, uint32_t type, int id, const char *step)
{
	int error = errno;

	report(NSOPS_FAILED, stage, type, error, id, step);
	if (!has(NSOPS_SPAWN))
		print_failure(step, error);
	_exit(125);
}

static void fail(int stage, uint32_t type, const char *step) { nsops_fail(stage, type, 0, step); }

/* Parses the number of a descriptor: digits only, no leading zero, above stderr. Returns -1 for any other text. */
int nsops_number(const char *text)
{
	const char *c = text;
	int n = 0;

	for (; *c >= '0' && *c <= '9' && n < 1000000; c++)
		n = 10 * n + (*c - '0');
	return *c || *text == '0' || n <= STDERR_FILENO ? -1 : n;
}

/* Anybody can set the variable, but the socket must be made by our parent, or by us before a switch, with our UID. */
static int trusted(void)
{
	struct ucred peer;
	int type = 0;
	socklen_t size = sizeof type, peer_size = sizeof peer;

	return getsockopt(channel, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
	       getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) == 0 &&
	       (peer.pid == getppid() || peer.pid == getpid()) && peer.uid == geteuid() && fcntl(channel, F_SETFD, FD_CLOEXEC) == 0;
}

static void receive(void)
{
	union { char bytes[CMSG_SPACE(sizeof files)]; struct cmsghdr align; } control;
	struct iovec data = { &request, sizeof request };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t size = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	size_t got = 0, room = sizeof files / sizeof files[0]; /* CMSG_SPACE rounds up: one more may arrive */

	check(size, STAGE_PROTOCOL, "receive");
	if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
		got = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(files, CMSG_DATA(rights), (got < room ? got : room) * sizeof(int));
	}
	errno = EPROTO;
	if (size != sizeof request || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || request.magic != NSOPS_MAGIC ||
	    joins(~(uint32_t)ALL_TYPES) || request.flags > NSOPS_FLAGS || got != request.fds || got > room ||
	    got < (request.types != 0) + (size_t)has(NSOPS_ROOT) ||
	    (has(NSOPS_SPAWN) ? request.lifeline <= channel : request.lifeline != -1))
		fail(STAGE_PROTOCOL, 0, "request");
}

/* Other constructors may have started threads, and setns(2) moves only the calling one. With one thread unshare(CLONE_VM)
 * does nothing, with more it is EINVAL. If a seccomp filter refuses it, the links of /proc/self/task give the number. */
static void require_one_thread(void)
{
	struct stat threads;

	if (unshare(CLONE_VM) == 0)
		return;
	if (errno != EINVAL)
		check(stat("/proc/self/task", &threads), STAGE_SPAWN, "list threads");
	if (errno == EINVAL || threads.st_nlink != 3) {
		errno = EINVAL;
		fail(STAGE_SPAWN, 0, "one thread");
	}
}

/* PDEATHSIG is sent when the thread ends that forked us, and changes of credentials clear it. So there is a lifeline, too:
 * a socket whose other end only our parent holds. When it closes that end, the kernel sends us the signal set here. */
static void arm_lifeline(void)
{
	struct pollfd lifeline = { request.lifeline, POLLIN, 0 };

	if (lifeline.fd < 0)
		return;
	check(prctl(PR_SET_PDEATHSIG, SIGKILL), STAGE_SPAWN, "pdeathsig");
	if (fcntl(lifeline.fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(lifeline.fd, F_SETOWN, getpid()) < 0 ||
	    fcntl(lifeline.fd, F_SETSIG, SIGKILL) < 0 || fcntl(lifeline.fd, F_SETFL, O_ASYNC) < 0)
		fail(STAGE_SPAWN, 0, "lifeline");
	if (poll(&lifeline, 1, 0) != 0) /* the other end was closed before */
		_exit(125);
}

/* Joins all types at once with a pidfd. Joins them one by one with descriptors, or if that failed, to find which type is
 * refused. Pass 0 joins what our rights outside of the user namespace allow, pass 1 the user namespace, pass 2 the rest. */
static void join(void)
{
	uint32_t left = request.types;

	if (!left || (!has(NSOPS_BY_FD) && setns(files[0], (int)left) == 0))
		return;
	for (int pass = 0; pass < 3; pass++)
		for (int i = 0; i < NSOPS_TYPES; i++) {
			uint32_t type = left & request.order[i];

			if (!type || (type == NEWUSER) != (pass == 1))
				continue;
			if (setns(files[has(NSOPS_BY_FD) ? i : 0], (int)type) == 0)
				left &= ~type;
			else if (pass > 0 || !joins(NEWUSER))
				fail(STAGE_JOIN, type, "setns");
		}
	if (left)
		fail(STAGE_PROTOCOL, left, "types");
}

/* The parent of a switched process keeps the PID that others wait for, and ends as its child does. */
static void exit_like(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			_exit(125);
	if (WIFSIGNALED(status))
		kill(getpid(), WTERMSIG(status));
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* setns(CLONE_NEWPID) puts only children into the namespace, and before the fork no thread can be created: so the fork is
 * here, not in Go. With CLONE_PARENT the worker is our parent's child. No libc depends on the old thread ID it remembers. */
static void fork_into_pid_namespace(void)
{
	int lifeline[2] = { request.lifeline, -1 };
	long pid;

	if (!has(NSOPS_SPAWN))
		check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lifeline), STAGE_SPAWN, "lifeline");
	pid = NSOPS_CLONE(SIGCHLD | (has(NSOPS_SPAWN) ? CLONE_PARENT : 0));
	if (pid < 0)
		fail(STAGE_JOIN, NEWPID, "fork");
	if (pid > 0 && !has(NSOPS_SPAWN))
		exit_like((pid_t)pid);
	if (pid > 0) {
		report(NSOPS_FORKED, 0, 0, 0, (int)pid, "");
		_exit(0);
	}
	request.lifeline = lifeline[0];
	close(lifeline[1]);
}

__attribute__((constructor)) static void nsops_bootstrap(void)
{
	const char *text = secure_getenv(NSOPS_ENV); /* NULL in a set-user-ID program, which must not obey it */

	if (!text)
		return;
	channel = nsops_number(text);
	/* unsetenv() would leave two NULLs, and Go expects the auxiliary vector after the first */
	for (char **e = environ; *e; e++)
		if (strncmp(*e, NSOPS_ENV "=", sizeof NSOPS_ENV) == 0)
			*e = e > environ ? environ[0] : e[1];
	if (!environ[0] || !trusted()) {
		print_failure(NSOPS_ENV, errno ? errno : EPERM); /* main() might run outside of the namespaces */
		_exit(125);
	}
	receive();
	require_one_thread();
	nsops_harden();
	arm_lifeline();
	nsops_find_inherited();
	join();
	nsops_change_files();
	nsops_become();
	if (joins(NEWPID))
		fork_into_pid_namespace();
	arm_lifeline();
	nsops_worker = (struct nsops_worker){ channel, has(NSOPS_SPAWN), request.lifeline, joins(NEWNS) || has(NSOPS_ROOT) };
	report(NSOPS_JOINED, 0, 0, 0, 0, "");
}
