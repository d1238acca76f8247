//go:build linux && cgo

/*
 * Who the worker is. Before it joins: non-dumpable, no supplementary groups, a session keyring of its own. After that:
 *   groups ───── given up here if that was impossible outside; none may be left
 *   bounding ─── a smaller bounding set and securebits, if wanted, while there is CAP_SETPCAP
 *   ids ──────── the user that was chosen, or the root of the user namespace; what that does not map is refused
 *   capabilities none inheritable or ambient, and no more than wanted
 * Each change of credentials makes the process dumpable where fs.suid_dumpable is 1. So all of them come before the
 * fork into a PID namespace: what is visible there was never dumpable.
 */
#define _GNU_SOURCE
#include "nsenter.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned caller; /* effective UID before the join */

static int chosen(void) { return is(NSOPS_USER) || is(NSOPS_DROP_PRIVS); }
static void must(long result, const char *step) { check(result, STAGE_PRIVILEGES, step); }

/* What is set is read back: seccomp filters that play root say that it was done. */
static void verify(int done, const char *step)
{
	errno = EPERM;
	if (!done)
		nsops_fail(STAGE_PRIVILEGES, 0, 0, step);
}

static void undumpable(void)
{
	must(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable");
	verify(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0, "dumpable");
}

/* setgroups(2) requires CAP_SETGID, which the caller may have outside, inside or, under "deny", not at all. */
static void leave_groups(int last)
{
	if ((!joins(NEWUSER) && !chosen()) || (last && getgroups(0, NULL) == 0))
		return;
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		nsops_fail(STAGE_PRIVILEGES, 0, 0, "setgroups");
	errno = EPERM;
	/* An ordinary user's own groups, in a namespace of their own that denies setgroups(2), are no gain. */
	if (last && getgroups(0, NULL) != 0 && (caller == 0 || chosen()))
		nsops_fail(STAGE_PRIVILEGES, request.types & NEWUSER, 0, "setgroups");
}

void nsops_harden(void)
{
	caller = geteuid();
	signal(SIGCHLD, SIG_DFL); /* if it was ignored, nobody would learn how children end */
	undumpable();
	leave_groups(0);
	if (syscall(SYS_keyctl, JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS && errno != EPERM) /* of seccomp */
		nsops_fail(STAGE_PRIVILEGES, 0, 0, "keyring");
}

static void bound(void)
{
	for (unsigned long cap = 0; cap < 64 && request.unbound; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap);

		if (has < 0 && errno == EINVAL && cap > 0) /* there are no more */
			break;
		must(has, "bounding set");
		if (!has || !(request.unbound >> cap & 1))
			continue;
		must(prctl(PR_CAPBSET_DROP, cap), "bounding set");
		verify(prctl(PR_CAPBSET_READ, cap) == 0, "bounding set");
	}
	if (!request.securebits)
		return;
	must(prctl(PR_SET_SECUREBITS, (unsigned long)prctl(PR_GET_SECUREBITS) | request.securebits), "securebits");
	verify((prctl(PR_GET_SECUREBITS) & (int)request.securebits) == (int)request.securebits, "securebits");
}

static void take_ids(unsigned uid, unsigned gid)
{
	unsigned u[3], g[3];

	if (setresgid(gid, gid, gid) < 0)
		nsops_fail(STAGE_PRIVILEGES, request.types & NEWUSER, (int)gid, "setresgid");
	if (setresuid(uid, uid, uid) < 0)
		nsops_fail(STAGE_PRIVILEGES, request.types & NEWUSER, (int)uid, "setresuid");
	must(getresuid(&u[0], &u[1], &u[2]) | getresgid(&g[0], &g[1], &g[2]), "read ids");
	for (int i = 0; i < 3; i++)
		verify(u[i] == uid && g[i] == gid, "verify ids");
}

/* An ID that a user namespace does not map stays the caller's, whatever it looks like inside: root's, with its files.
 * So the worker becomes somebody whom it maps. Without a root and a choice, an ordinary user stays who that is. It
 * returns whether capabilities must go: those of a chosen user, except where the user namespace has no root. A group of
 * root is needed only by who becomes root. */
static int settle_ids(void)
{
	int root = !joins(NEWUSER) || ((setresgid(0, 0, 0) == 0 || chosen()) && setresuid(0, 0, 0) == 0);

	if (chosen())
		take_ids(request.uid, request.gid);
	else if (!root && caller != 0 && getuid() != NO_ID && getgid() != NO_ID)
		take_ids(getuid(), getgid());
	else if (joins(NEWUSER))
		take_ids(0, 0);
	return root && is(NSOPS_USER) && request.uid != 0;
}

/* What the handler executes must not start with capabilities of the outside: no inheritable, so no ambient ones. */
static void keep_capabilities(uint64_t lose)
{
	struct { uint32_t version; int pid; } header = { CAPABILITY_V3, 0 };
	struct { uint32_t effective, permitted, inheritable; } caps[2], now[2];

	must(syscall(SYS_capget, &header, caps), "capget");
	for (int i = 0; i < 2; i++) {
		caps[i].permitted &= ~(uint32_t)(lose >> 32 * i);
		caps[i].effective &= caps[i].permitted;
		caps[i].inheritable = 0;
	}
	must(syscall(SYS_capset, &header, caps), "capset");
	must(syscall(SYS_capget, &header, now), "capget");
	verify(memcmp(caps, now, sizeof caps) == 0, "capset");
}

void nsops_become(void)
{
	leave_groups(1);
	bound();
	keep_capabilities(settle_ids() ? ~0ULL : request.lose);
	if (is(NSOPS_DROP_PRIVS))
		must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs"), verify(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), "no_new_privs");
	undumpable();
}
