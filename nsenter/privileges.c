//go:build linux && cgo

/*
 * The credentials of the worker. Before the join it becomes non-dumpable, drops its supplementary groups and gets a new
 * session keyring. After the join:
 *   groups ───── dropped here if that was refused before the join; none may be left
 *   bounding ─── the bounding set and the securebits, as requested, while CAP_SETPCAP is there
 *   ids ──────── the requested user, or the root of the user namespace; an ID that is not mapped is an error
 *   capabilities none inheritable or ambient, no more permitted than requested
 * Each change of credentials makes the process dumpable where fs.suid_dumpable is 1. So all of them come before the
 * fork into a PID namespace: nobody in there ever sees a dumpable worker.
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

static int user_requested(void) { return has(NSOPS_USER) || has(NSOPS_DROP_PRIVS); }
static void must(long result, const char *step) { check(result, STAGE_PRIVILEGES, step); }

/* What is set is read back: some seccomp filters report success for a call that they have dropped. */
static void verify(int done, const char *step)
{
	errno = EPERM;
	must(done ? 0 : -1, step);
}

static void set_undumpable(void)
{
	must(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable");
	verify(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0, "dumpable");
}

/* setgroups(2) requires CAP_SETGID. The caller may have it before the join, after it, or never where setgroups is "deny". */
static void drop_groups(int last)
{
	if ((!joins(NEWUSER) && !user_requested()) || (last && getgroups(0, NULL) == 0))
		return;
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		nsops_fail(STAGE_PRIVILEGES, 0, 0, "setgroups");
	errno = EPERM;
	/* An ordinary user may keep their groups in a user namespace that denies setgroups(2): they add no right. */
	if (last && getgroups(0, NULL) != 0 && (caller == 0 || user_requested()))
		nsops_fail(STAGE_PRIVILEGES, request.types & NEWUSER, 0, "setgroups");
}

void nsops_harden(void)
{
	caller = geteuid();
	signal(SIGCHLD, SIG_DFL); /* if it is ignored, the status of a child is lost */
	set_undumpable();
	drop_groups(0);
	if (syscall(SYS_keyctl, JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS && errno != EPERM) /* a seccomp filter's */
		nsops_fail(STAGE_PRIVILEGES, 0, 0, "keyring");
}

static void limit_bounding_set(void)
{
	for (unsigned long cap = 0; cap < 64 && request.unbound; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap);

		if (has < 0 && errno == EINVAL && cap > 0) /* that was the last one */
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

static void set_ids(unsigned uid, unsigned gid)
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

/* A process whose ID the joined user namespace does not map keeps the rights of that ID outside: root's, for a caller who
 * is root. So the worker takes an ID that is mapped: the requested one, else 0. Only an ordinary user who is mapped, where
 * 0 is not, keeps the own ID. Returns whether capabilities must be dropped: with a requested UID other than 0, unless the
 * user namespace maps no root. GID 0 must be mapped only for a worker that becomes root. */
static int change_ids(void)
{
	int root = !joins(NEWUSER) || ((setresgid(0, 0, 0) == 0 || user_requested()) && setresuid(0, 0, 0) == 0);

	if (user_requested())
		set_ids(request.uid, request.gid);
	else if (!root && caller != 0 && getuid() != NO_ID && getgid() != NO_ID)
		set_ids(getuid(), getgid());
	else if (joins(NEWUSER))
		set_ids(0, 0);
	return root && has(NSOPS_USER) && request.uid != 0;
}

/* Programs of the handler must not inherit capabilities. Without inheritable ones there are no ambient ones either. */
static void drop_capabilities(uint64_t lose)
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
	drop_groups(1);
	limit_bounding_set();
	drop_capabilities(change_ids() ? ~0ULL : request.lose);
	if (has(NSOPS_DROP_PRIVS))
		must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs"), verify(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), "no_new_privs");
	set_undumpable();
}
