//go:build linux && cgo

/*
 * The bootstrap: joins namespaces before the Go runtime starts its threads, since a user, mount or time namespace can
 * only be joined by a process with a single one. Without NSOPS_CHANNEL, or started set-user-ID, it does nothing. Else:
 *   receive ── one request from the inherited socket, whose other end is our parent's, or was ours before a switch
 *   harden ─── non-dumpable, no supplementary groups, a new session keyring
 *   guard ──── the kernel kills us when our parent ends
 *   join ───── one setns(pidfd, types), or three passes over descriptors
 *   fork ───── if a PID namespace was joined: only a child is in it
 *   settle ─── no stray descriptor, a current directory that exists
 *   mounts ─── if wanted: /sys of the joined network namespace, in a mount namespace of our own
 *   drop ───── root of the joined user namespace, or if wanted unprivileged for good; verified
 *   guard ──── again: joining and dropping disarm it
 * Then a JOINED record, and the Go runtime starts; at any stage a FAILED record, and _exit(125).
 * Only system calls here: no allocation, no stdio, no locale, nothing that loads a file of the target.
 */
#define _GNU_SOURCE
#include "nsenter.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct nsops_worker nsops_worker = { -1, 0, 0 };
static struct nsops_request request;
static int channel = -1, forked, fds[NSOPS_FDS];

static int is(uint32_t flag) { return (request.flags & flag) != 0; }
static int joins(uint32_t type) { return (request.types & type) != 0; }

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

static void fail(int stage, uint32_t type, const char *step)
{
	int error = errno;

	report(NSOPS_FAILED, stage, type, error, 0, step);
	if (!is(NSOPS_SPAWN))
		say(step, error);
	_exit(125);
}

static void check(long result, int stage, const char *step)
{
	if (result < 0)
		fail(stage, 0, step);
}

/* A descriptor's number: digits only, no leading zero, not one of stdio. */
static int number(const char *text)
{
	const char *c = text;
	int n = 0;

	for (; *c >= '0' && *c <= '9' && n < 1000000; c++)
		n = 10 * n + (*c - '0');
	return *c || *text == '0' || n <= STDERR_FILENO ? -1 : n;
}

/* Anybody can set an environment variable; only who starts us can have the other end of this socket. */
static int trusted(void)
{
	struct ucred peer;
	int type = 0;
	socklen_t size = sizeof type, peer_size = sizeof peer;

	return getsockopt(channel, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
	       getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) == 0 &&
	       (peer.pid == getppid() || peer.pid == getpid());
}

static void receive(void)
{
	union { char bytes[CMSG_SPACE(sizeof fds)]; struct cmsghdr align; } control;
	struct iovec data = { &request, sizeof request };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t size = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	size_t got = 0;

	check(size, STAGE_PROTOCOL, "receive");
	if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
		got = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(rights), got * sizeof(int));
	}
	errno = EPROTO;
	if (size != sizeof request || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || request.magic != NSOPS_MAGIC ||
	    got != request.fds || (request.types && !got) || request.flags > NSOPS_FLAGS || (is(NSOPS_SPAWN) && request.lifeline <= channel))
		fail(STAGE_PROTOCOL, 0, "request");
	check(fcntl(channel, F_SETFD, FD_CLOEXEC), STAGE_PROTOCOL, "channel");
}

static void harden(void)
{
	check(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), STAGE_PRIVILEGES, "dumpable");
	/* Without CAP_SETGID, or under "deny", they are the caller's own groups and no gain; drop() accepts none. */
	if ((joins(NEWUSER) || is(NSOPS_DROP_PRIVS)) && setgroups(0, NULL) < 0 && (errno != EPERM || is(NSOPS_DROP_PRIVS)))
		fail(STAGE_PRIVILEGES, 0, "setgroups");
	if (syscall(SYS_keyctl, JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
		fail(STAGE_PRIVILEGES, 0, "keyring");
}

/* PDEATHSIG stands for the thread that forked us, and changes of credentials clear it. So there is a lifeline, too: a
 * socket whose other end only our parent has. When that closes, the kernel sends its owner the signal set here. */
static void guard(void)
{
	struct pollfd lifeline = { request.lifeline, POLLIN, 0 };

	if (is(NSOPS_SPAWN) || forked)
		check(prctl(PR_SET_PDEATHSIG, SIGKILL), STAGE_SPAWN, "pdeathsig");
	if (!is(NSOPS_SPAWN))
		return;
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

	if (!left || (!is(NSOPS_BY_FD) && setns(fds[0], (int)left) == 0))
		return;
	for (int pass = 0; pass < 3; pass++)
		for (int i = 0; i < NSOPS_FDS; i++) {
			uint32_t type = left & request.order[i];

			if (!type || (type == NEWUSER) != (pass == 1))
				continue;
			if (setns(fds[is(NSOPS_BY_FD) ? i : 0], (int)type) == 0)
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

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		kill(getpid(), WTERMSIG(status));
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* setns(CLONE_NEWPID) is for children only, and a Go runtime started before the fork could not create a thread. With
 * CLONE_PARENT the worker is our parent's child. Both libcs bear the thread ID that they remember from before. */
static void enter_pid_namespace(void)
{
	long pid = NSOPS_CLONE(SIGCHLD | (is(NSOPS_SPAWN) ? CLONE_PARENT : 0));

	if (pid < 0)
		fail(STAGE_JOIN, NEWPID, "fork");
	if ((forked = pid == 0))
		return;
	if (!is(NSOPS_SPAWN))
		mirror((pid_t)pid);
	report(NSOPS_FORKED, 0, 0, 0, (int)pid, "");
	_exit(0);
}

static void settle(void)
{
	char path[2]; /* for "/" alone: "(unreachable)/" and the like are ERANGE */

	for (uint32_t i = 0; i < request.fds; i++)
		close(fds[i]);
	if (is(NSOPS_SPAWN))
		check(syscall(CLOSE_RANGE, request.lifeline + 1, ~0U, 0), STAGE_SPAWN, "close_range");
	check(prctl(PR_SET_NAME, program_invocation_short_name), STAGE_SPAWN, "name"); /* it was that of a descriptor */
	if (!joins(NEWNS))
		return;
	check(chdir("/"), STAGE_JOIN, "chdir");
	check(syscall(SYS_getcwd, path, sizeof path), STAGE_JOIN, "getcwd");
}

/* Over the old /sys rather than in its place, in a mount namespace of ours from which nothing propagates. */
static void remount_sys(void)
{
	int sys, fs, mnt;
	unsigned attributes = ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC;
	struct statvfs old;

	check(unshare(CLONE_NEWNS), STAGE_MOUNTS, "unshare");
	check(mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL), STAGE_MOUNTS, "slave");
	check(sys = open("/sys", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), STAGE_MOUNTS, "open /sys");
	check(fstatvfs(sys, &old), STAGE_MOUNTS, "stat /sys");
	attributes |= old.f_flag & ST_RDONLY ? ATTR_RDONLY : 0;
	check(fs = (int)syscall(FSOPEN, "sysfs", FD_CLOSES_ON_EXEC), STAGE_MOUNTS, "fsopen");
	check(syscall(FSCONFIG, fs, FSCONFIG_CREATE, NULL, NULL, 0), STAGE_MOUNTS, "fsconfig");
	check(mnt = (int)syscall(FSMOUNT, fs, FD_CLOSES_ON_EXEC, attributes), STAGE_MOUNTS, "fsmount");
	check(syscall(MOVE_MOUNT, mnt, "", sys, "", EMPTY_PATHS), STAGE_MOUNTS, "move_mount");
	close(mnt), close(fs), close(sys);
}

static void drop(void)
{
	unsigned uid[3], gid[3];

	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		check(prctl(PR_CAPBSET_DROP, cap), STAGE_PRIVILEGES, "bounding set");
	check(setresgid(request.gid, request.gid, request.gid), STAGE_PRIVILEGES, "setresgid");
	check(setresuid(request.uid, request.uid, request.uid), STAGE_PRIVILEGES, "setresuid");
	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), STAGE_PRIVILEGES, "no_new_privs");
	check(getresuid(&uid[0], &uid[1], &uid[2]) | getresgid(&gid[0], &gid[1], &gid[2]), STAGE_PRIVILEGES, "read ids");
	errno = EPERM;
	for (int i = 0; i < 3; i++)
		if (uid[i] != request.uid || gid[i] != request.gid || getgroups(0, NULL) != 0)
			fail(STAGE_PRIVILEGES, 0, "verify ids");
}

/* What the handler executes inside must not start with capabilities of the outside: no inheritable, no ambient ones. */
static void privileges(void)
{
	struct { uint32_t version; int pid; } header = { CAPABILITY_V3, 0 };
	struct { uint32_t effective, permitted, inheritable; } caps[2] = { { 0, 0, 0 }, { 0, 0, 0 } };

	/* A user namespace may map no root: then we stay who we are, with its capabilities. */
	if (joins(NEWUSER) && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) && errno != EINVAL)
		fail(STAGE_PRIVILEGES, NEWUSER, "setresuid");
	if (is(NSOPS_DROP_PRIVS))
		drop();
	else
		check(syscall(SYS_capget, &header, caps), STAGE_PRIVILEGES, "capget");
	caps[0].inheritable = caps[1].inheritable = 0;
	check(syscall(SYS_capset, &header, caps), STAGE_PRIVILEGES, "capset");
	check(prctl(AMBIENT, AMBIENT_CLEAR_ALL, 0, 0, 0), STAGE_PRIVILEGES, "ambient");
	check(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), STAGE_PRIVILEGES, "dumpable");
}

__attribute__((constructor)) static void nsops_bootstrap(void)
{
	const char *text = secure_getenv(NSOPS_ENV); /* NULL for a set-user-ID program: nobody may ask it for this */

	if (!text)
		return;
	channel = number(text);
	/* unsetenv() would leave two NULLs, and Go takes what follows the first for the auxiliary vector */
	for (char **e = environ; *e; e++)
		if (strncmp(*e, NSOPS_ENV "=", sizeof NSOPS_ENV) == 0)
			*e = e > environ ? environ[0] : e[1];
	if (!environ[0] || !trusted()) {
		say(NSOPS_ENV, errno); /* to go on could mean to run main() in the wrong place */
		_exit(125);
	}
	receive();
	harden();
	guard();
	join();
	if (joins(NEWPID))
		enter_pid_namespace();
	settle();
	if (is(NSOPS_REMOUNT_SYS))
		remount_sys();
	privileges();
	guard();
	nsops_worker = (struct nsops_worker){ channel, is(NSOPS_SPAWN), request.types };
	report(NSOPS_JOINED, 0, 0, 0, 0, "");
}
