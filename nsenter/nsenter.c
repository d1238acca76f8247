//go:build linux && cgo

/*
 * The bootstrap: joins namespaces before the Go runtime starts its threads, since user, mount and time namespaces
 * can only be joined by a single-threaded process.
 *
 *   inert ── no NSOPS_CHANNEL, or a set-user-ID start ──► main() as ever
 *     │
 *   receive ─ one request from the inherited socket, whose other end is our parent (or ourselves before exec)
 *   harden ── non-dumpable, no groups, new session keyring, dies with its parent
 *   join ──── one setns(pidfd, types), or three passes over descriptors
 *   fork ──── if a PID namespace was joined: only a child is in it
 *   settle ── no stray descriptor, own session, a current directory that exists
 *   mounts ── if wanted: /sys of the joined network namespace, in a mount namespace of our own
 *   drop ──── if wanted: unprivileged for good, and verified
 *   guard ─── dies with its parent, again: joining and dropping disarm it
 *     │
 *   JOINED record, then the Go runtime; or at any stage a FAILED record, then _exit(125).
 *
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

/* Values of the kernel's ABI that older libc headers lack; the numbers are the same on every architecture Go knows. */
enum {
	NEWTIME = 0x80, NEWNS = 0x20000, NEWUSER = 0x10000000, NEWPID = 0x20000000,
	MOVE_MOUNT = 429, FSOPEN = 430, FSCONFIG = 431, FSMOUNT = 432, CLOSE_RANGE = 436,
	FSCONFIG_CREATE = 6, MOVE_EMPTY_PATHS = 0x4 | 0x40,
	ATTR_RDONLY = 1, ATTR_NOSUID = 2, ATTR_NODEV = 4, ATTR_NOEXEC = 8,
	AMBIENT = 47, AMBIENT_CLEAR_ALL = 4, JOIN_SESSION_KEYRING = 1, CAPABILITY_V3 = 0x20080522
};

struct nsops_worker nsops_worker = { -1, 0, 0 };
static struct nsops_request request;
static int channel = -1;
static int fds[NSOPS_FDS];

static void report(int kind, int stage, uint32_t type, int error, int pid, const char *step)
{
	struct nsops_record record = { NSOPS_MAGIC, (uint16_t)kind, (uint16_t)stage, type, error, pid, { 0 }, 0 };

	memcpy(record.step, step, strnlen(step, sizeof record.step));
	while (send(channel, &record, sizeof record, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

/* A switched process has no parent that reads records, so it says on stderr why it ends. */
static void say(const char *step, int error)
{
	char text[] = "nsops: bootstrap: errno 000 at            \n";

	for (int i = 26; i >= 24 && error; i--, error /= 10)
		text[i] = (char)('0' + error % 10);
	memcpy(text + 31, step, strnlen(step, 11));
	if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
		return;
}

static void fail(int stage, uint32_t type, const char *step)
{
	int error = errno;

	report(NSOPS_FAILED, stage, type, error, 0, step);
	if (!(request.flags & NSOPS_SPAWN))
		say(step, error);
	_exit(125);
}

static void check(int result, int stage, const char *step)
{
	if (result < 0)
		fail(stage, 0, step);
}

/* A descriptor's number: digits only, no leading zero, not one of stdio. */
static int number(const char *text)
{
	int n = 0;

	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9' || n > 999999 || (c > text && n == 0))
			return -1;
		n = 10 * n + (*c - '0');
	}
	return n > STDERR_FILENO ? n : -1;
}

/* The peer must be who started us: our parent, or before a switch we ourselves. Anybody can set an environment variable. */
static int trusted(void)
{
	struct ucred peer;
	int type = 0;
	socklen_t type_size = sizeof type, peer_size = sizeof peer;

	return getsockopt(channel, SOL_SOCKET, SO_TYPE, &type, &type_size) == 0 && type == SOCK_SEQPACKET &&
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

	check((int)size, NSOPS_STAGE_PROTOCOL, "receive");
	if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
		got = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(rights), got * sizeof(int));
	}
	errno = EPROTO;
	if (size != sizeof request || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || request.magic != NSOPS_MAGIC ||
	    got != request.fds || got > NSOPS_FDS || (request.types && !got))
		fail(NSOPS_STAGE_PROTOCOL, 0, "request");
	check(fcntl(channel, F_SETFD, FD_CLOEXEC), NSOPS_STAGE_PROTOCOL, "channel");
}

/* PDEATHSIG dies with the thread that forked us and is cleared by changes of credentials; the lifeline is a socket whose
 * other end only our caller holds, and the kernel sends SIGKILL when that closes. */
static void guard(void)
{
	struct pollfd lifeline = { request.lifeline, POLLIN, 0 };

	if (!(request.flags & NSOPS_SPAWN))
		return;
	check(prctl(PR_SET_PDEATHSIG, SIGKILL), NSOPS_STAGE_SPAWN, "pdeathsig");
	check(fcntl(lifeline.fd, F_SETFD, FD_CLOEXEC), NSOPS_STAGE_SPAWN, "lifeline");
	check(fcntl(lifeline.fd, F_SETOWN, getpid()), NSOPS_STAGE_SPAWN, "lifeline");
	check(fcntl(lifeline.fd, F_SETSIG, SIGKILL), NSOPS_STAGE_SPAWN, "lifeline");
	check(fcntl(lifeline.fd, F_SETFL, O_ASYNC), NSOPS_STAGE_SPAWN, "lifeline");
	if (poll(&lifeline, 1, 0) != 0)
		_exit(125);
}

static void harden(void)
{
	check(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), NSOPS_STAGE_PRIVILEGES, "dumpable");
	/* Without CAP_SETGID, or under "deny", they are the caller's own groups and no gain; drop() accepts none. */
	if (request.types & NEWUSER || request.flags & NSOPS_DROP_PRIVS)
		if (setgroups(0, NULL) < 0 && (errno != EPERM || request.flags & NSOPS_DROP_PRIVS))
			fail(NSOPS_STAGE_PRIVILEGES, 0, "setgroups");
	if (syscall(SYS_keyctl, JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
		fail(NSOPS_STAGE_PRIVILEGES, 0, "keyring");
}

/* setns(2) with a mask is all or nothing and names no culprit. We end anyway, so ask for the types one by one. */
static void fail_join(int error)
{
	if ((request.types & NEWUSER) && setns(fds[0], NEWUSER) < 0)
		fail(NSOPS_STAGE_JOIN, NEWUSER, "setns");
	for (uint32_t type = NEWTIME; type; type <<= 1)
		if ((request.types & type & ~(uint32_t)NEWUSER) && setns(fds[0], (int)type) < 0)
			fail(NSOPS_STAGE_JOIN, type, "setns");
	errno = error;
	fail(NSOPS_STAGE_JOIN, request.types, "setns");
}

/* Pass 0: what needs our rights outside of the user namespace. Pass 1: the user namespace. Pass 2: what needs rights in it. */
static void join(void)
{
	uint32_t type, left = request.types;

	if (!(request.flags & NSOPS_BY_FD)) {
		if (left && setns(fds[0], (int)left) < 0)
			fail_join(errno);
		return;
	}
	for (int pass = 0; pass < 3; pass++)
		for (uint32_t i = 0; i < request.fds; i++) {
			type = request.fd_types[i];
			if (!(left & type) || (type == NEWUSER) != (pass == 1))
				continue;
			if (setns(fds[i], (int)type) == 0)
				left &= ~type;
			else if (pass > 0 || !(request.types & NEWUSER))
				fail(NSOPS_STAGE_JOIN, type, "setns");
		}
	errno = EPROTO;
	if (left)
		fail(NSOPS_STAGE_PROTOCOL, left, "types");
}

/* A switched process keeps its PID for whoever waits for it, and ends as its child does. */
static void mirror(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status)) {
		signal(WTERMSIG(status), SIG_DFL);
		kill(getpid(), WTERMSIG(status));
	}
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* setns(CLONE_NEWPID) is for children only, and a Go runtime started before the fork could not create a thread.
 * With CLONE_PARENT the worker is our caller's child, not ours; both libcs survive the thread ID they remember. */
static void enter_pid_namespace(void)
{
	unsigned long flags = SIGCHLD | (request.flags & NSOPS_SPAWN ? CLONE_PARENT : 0);
	long pid;

	if (!(request.types & NEWPID))
		return;
#ifdef __s390x__
	pid = syscall(SYS_clone, 0, flags, 0, 0, 0);
#else
	pid = syscall(SYS_clone, flags, 0, 0, 0, 0);
#endif
	if (pid < 0)
		fail(NSOPS_STAGE_JOIN, NEWPID, "fork");
	if (pid == 0) {
		if (!(request.flags & NSOPS_SPAWN))
			check(prctl(PR_SET_PDEATHSIG, SIGKILL), NSOPS_STAGE_SPAWN, "pdeathsig");
		return;
	}
	if (!(request.flags & NSOPS_SPAWN))
		mirror((pid_t)pid);
	report(NSOPS_FORKED, 0, 0, 0, (int)pid, "");
	_exit(0);
}

static void settle(void)
{
	char path[4096];

	if (request.flags & NSOPS_SPAWN) {
		check((int)syscall(CLOSE_RANGE, request.lifeline + 1, ~0U, 0), NSOPS_STAGE_SPAWN, "close_range");
		check(setsid(), NSOPS_STAGE_SPAWN, "setsid");
	} else {
		for (uint32_t i = 0; i < request.fds; i++)
			close(fds[i]);
	}
	if (!(request.types & NEWNS))
		return;
	check(chdir("/"), NSOPS_STAGE_JOIN, "chdir");
	check((int)syscall(SYS_getcwd, path, sizeof path), NSOPS_STAGE_JOIN, "getcwd");
	errno = ENOENT;
	if (strcmp(path, "/") != 0) /* "(unreachable)/…" */
		fail(NSOPS_STAGE_JOIN, NEWNS, "getcwd");
}

/* Over the old /sys rather than in its place, in a mount namespace of ours that sends nothing back. */
static void remount_sys(void)
{
	int stage = NSOPS_STAGE_MOUNTS, sys, fs, mnt;
	unsigned attributes = ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC;
	struct statvfs old;

	check(unshare(CLONE_NEWNS), stage, "unshare");
	check(mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL), stage, "slave");
	check(sys = open("/sys", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), stage, "open /sys");
	check(fstatvfs(sys, &old), stage, "stat /sys");
	if (old.f_flag & ST_RDONLY)
		attributes |= ATTR_RDONLY;
	check(fs = (int)syscall(FSOPEN, "sysfs", 1), stage, "fsopen");
	check((int)syscall(FSCONFIG, fs, FSCONFIG_CREATE, NULL, NULL, 0), stage, "fsconfig");
	check(mnt = (int)syscall(FSMOUNT, fs, 1, attributes), stage, "fsmount");
	check((int)syscall(MOVE_MOUNT, mnt, "", sys, "", MOVE_EMPTY_PATHS), stage, "move_mount");
	close(mnt);
	close(fs);
	close(sys);
}

static void drop(void)
{
	int stage = NSOPS_STAGE_PRIVILEGES;
	uid_t uid[3];
	gid_t gid[3];

	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		check(prctl(PR_CAPBSET_DROP, cap), stage, "bounding set");
	check(setresgid(request.gid, request.gid, request.gid), stage, "setresgid");
	check(setresuid(request.uid, request.uid, request.uid), stage, "setresuid");
	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), stage, "no_new_privs");
	check(getresuid(&uid[0], &uid[1], &uid[2]), stage, "getresuid");
	check(getresgid(&gid[0], &gid[1], &gid[2]), stage, "getresgid");
	errno = EPERM;
	for (int i = 0; i < 3; i++)
		if (uid[i] != request.uid || gid[i] != request.gid || getgroups(0, NULL) != 0)
			fail(stage, 0, "verify ids");
}

/* Nothing that the handler executes inside may start with capabilities of the outside, so the inheritable and the
 * ambient set are emptied; drop wants the others empty, too. */
static void privileges(void)
{
	struct { uint32_t version; int pid; } header = { CAPABILITY_V3, 0 };
	struct { uint32_t effective, permitted, inheritable; } caps[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
	int stage = NSOPS_STAGE_PRIVILEGES, keep = !(request.flags & NSOPS_DROP_PRIVS);

	/* Root of the user namespace joined, unless that maps no root: then we stay who we are, with its capabilities. */
	if ((request.types & NEWUSER) && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) && errno != EINVAL)
		fail(stage, NEWUSER, "setresuid");
	if (!keep)
		drop();
	else
		check((int)syscall(SYS_capget, &header, caps), stage, "capget");
	caps[0].inheritable = caps[1].inheritable = 0;
	check((int)syscall(SYS_capset, &header, caps), stage, "capset");
	check(prctl(AMBIENT, AMBIENT_CLEAR_ALL, 0, 0, 0), stage, "ambient");
	check((int)syscall(SYS_capget, &header, caps), stage, "capget");
	errno = EPERM;
	for (int i = 0; i < 2; i++)
		if (caps[i].inheritable || (!keep && (caps[i].effective | caps[i].permitted)))
			fail(stage, 0, "verify caps");
	check(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), stage, "dumpable");
}

__attribute__((constructor)) static void nsops_bootstrap(void)
{
	const char *text = secure_getenv(NSOPS_ENV); /* NULL for a set-user-ID program: nobody may ask it for this */

	if (!text)
		return;
	channel = number(text);
	unsetenv(NSOPS_ENV);
	if (!trusted()) { /* not ours, or not asked by our parent: running main() could be in the wrong place */
		say(NSOPS_ENV, errno);
		_exit(125);
	}
	receive();
	harden();
	guard();
	join();
	enter_pid_namespace();
	settle();
	if (request.flags & NSOPS_REMOUNT_SYS)
		remount_sys();
	privileges();
	guard();
	nsops_worker = (struct nsops_worker){ channel, (request.flags & NSOPS_SPAWN) != 0, request.types };
	report(NSOPS_JOINED, 0, 0, 0, 0, "");
}
