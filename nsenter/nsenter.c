//go:build linux && cgo

/*
 * The bootstrap: joins namespaces before the Go runtime starts its threads, since a user, mount or time namespace can
 * only be joined by a process with a single one. Without NSOPS_CHANNEL, or started set-user-ID, it does nothing. Else:
 *   receive ── one request from the inherited socket, whose other end is our parent's, or was ours before a switch
 *   alone ──── no thread but this one, or that would stay outside
 *   harden ─── non-dumpable, no supplementary groups, a new session keyring
 *   guard ──── the kernel kills us when our parent ends
 *   join ───── one setns(pidfd, types), or three passes over descriptors
 *   settle ─── the target's root, no stray descriptor, if wanted a /sys of the joined network namespace: files.c
 *   become ─── who the worker is to be: privileges.c
 *   fork ───── if a PID namespace was joined: only a child is in it
 *   guard ──── again: joining, changes of credentials and the fork disarm it
 * Then a JOINED record, and the Go runtime starts; at any stage a FAILED record, and _exit(125).
 * Only system calls here: no allocation, no stdio, no locale, nothing that loads a file of the target.
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

/* A switched process has no parent that reads records, so it says on stderr why it ends. */
static void say(const char *step, int error)
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
	if (!is(NSOPS_SPAWN))
		say(step, error);
	_exit(125);
}

static void fail(int stage, uint32_t type, const char *step) { nsops_fail(stage, type, 0, step); }

/* A descriptor's number: digits only, no leading zero, not one of stdio. */
int nsops_number(const char *text)
{
	const char *c = text;
	int n = 0;

	for (; *c >= '0' && *c <= '9' && n < 1000000; c++)
		n = 10 * n + (*c - '0');
	return *c || *text == '0' || n <= STDERR_FILENO ? -1 : n;
}

/* Anybody can set an environment variable; only who starts us, and is who we are, can have made this socket. */
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
	size_t got = 0, room = sizeof files / sizeof files[0]; /* CMSG_SPACE rounds up, so one more may come */

	check(size, STAGE_PROTOCOL, "receive");
	if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
		got = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(files, CMSG_DATA(rights), (got < room ? got : room) * sizeof(int));
	}
	errno = EPROTO;
	if (size != sizeof request || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || request.magic != NSOPS_MAGIC ||
	    joins(~(uint32_t)ALL_TYPES) || request.flags > NSOPS_FLAGS || got != request.fds || got > room ||
	    got < (request.types != 0) + (size_t)is(NSOPS_ROOT) ||
	    (is(NSOPS_SPAWN) ? request.lifeline <= channel : request.lifeline != -1))
		fail(STAGE_PROTOCOL, 0, "request");
}

/* What runs before us may start threads, and setns(2) moves only ours. unshare(2) knows: this does nothing for one. A
 * seccomp filter may refuse that; then our own /proc has a directory for each thread. */
static void alone(void)
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

/* PDEATHSIG stands for the thread that forked us, and changes of credentials clear it. So there is a lifeline, too: a
 * socket whose other end only our parent has. When that closes, the kernel sends its owner the signal set here. */
static void guard(void)
{
	struct pollfd lifeline = { request.lifeline, POLLIN, 0 };

	if (lifeline.fd < 0)
		return;
	check(prctl(PR_SET_PDEATHSIG, SIGKILL), STAGE_SPAWN, "pdeathsig");
	if (fcntl(lifeline.fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(lifeline.fd, F_SETOWN, getpid()) < 0 ||
	    fcntl(lifeline.fd, F_SETSIG, SIGKILL) < 0 || fcntl(lifeline.fd, F_SETFL, O_ASYNC) < 0)
		fail(STAGE_SPAWN, 0, "lifeline");
	if (poll(&lifeline, 1, 0) != 0) /* closed before it was armed */
		_exit(125);
}

/* All at once, or one by one: through descriptors, or when all at once fails and it remains to be seen what is to blame.
 * Pass 0: what our rights outside of the user namespace allow. Pass 1: the user namespace. Pass 2: what it allows. */
static void join(void)
{
	uint32_t left = request.types;

	if (!left || (!is(NSOPS_BY_FD) && setns(files[0], (int)left) == 0))
		return;
	for (int pass = 0; pass < 3; pass++)
		for (int i = 0; i < NSOPS_TYPES; i++) {
			uint32_t type = left & request.order[i];

			if (!type || (type == NEWUSER) != (pass == 1))
				continue;
			if (setns(files[is(NSOPS_BY_FD) ? i : 0], (int)type) == 0)
				left &= ~type;
			else if (pass > 0 || !joins(NEWUSER))
				fail(STAGE_JOIN, type, "setns");
		}
	if (left)
		fail(STAGE_PROTOCOL, left, "types");
}

/* A switched process keeps its PID for whoever waits for it, and ends as its child does. */
static void mirror(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			_exit(125);
	if (WIFSIGNALED(status))
		kill(getpid(), WTERMSIG(status));
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* setns(CLONE_NEWPID) is for children only, and a Go runtime started before the fork could not create a thread. With
 * CLONE_PARENT the worker is our parent's child. Both libcs bear the thread ID that they remember from before. */
static void enter_pid_namespace(void)
{
	int lifeline[2] = { request.lifeline, -1 };
	long pid;

	if (!is(NSOPS_SPAWN))
		check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lifeline), STAGE_SPAWN, "lifeline");
	pid = NSOPS_CLONE(SIGCHLD | (is(NSOPS_SPAWN) ? CLONE_PARENT : 0));
	if (pid < 0)
		fail(STAGE_JOIN, NEWPID, "fork");
	if (pid > 0 && !is(NSOPS_SPAWN))
		mirror((pid_t)pid);
	if (pid > 0) {
		report(NSOPS_FORKED, 0, 0, 0, (int)pid, "");
		_exit(0);
	}
	request.lifeline = lifeline[0];
	close(lifeline[1]);
}

__attribute__((constructor)) static void nsops_bootstrap(void)
{
	const char *text = secure_getenv(NSOPS_ENV); /* NULL for a set-user-ID program: nobody may ask it for this */

	if (!text)
		return;
	channel = nsops_number(text);
	/* unsetenv() would leave two NULLs, and Go takes what follows the first for the auxiliary vector */
	for (char **e = environ; *e; e++)
		if (strncmp(*e, NSOPS_ENV "=", sizeof NSOPS_ENV) == 0)
			*e = e > environ ? environ[0] : e[1];
	if (!environ[0] || !trusted()) {
		say(NSOPS_ENV, errno ? errno : EPERM); /* to go on could mean to run main() in the wrong place */
		_exit(125);
	}
	receive();
	alone();
	nsops_harden();
	guard();
	nsops_find_strays();
	join();
	nsops_settle();
	nsops_become();
	if (joins(NEWPID))
		enter_pid_namespace();
	guard();
	nsops_worker = (struct nsops_worker){ channel, is(NSOPS_SPAWN), request.lifeline, joins(NEWNS) || is(NSOPS_ROOT) };
	report(NSOPS_JOINED, 0, 0, 0, 0, "");
}
