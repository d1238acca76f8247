//go:build linux && cgo

/*
 * What the worker has of files: the target's root as its own, none of the caller's descriptors but those it is meant to
 * have, and if wanted a /sys that shows the network namespace it has joined.
 */
#define _GNU_SOURCE
#include "nsenter.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static int strays = -1; /* /proc/self/fd, if there is no close_range(2) */

/* A mount namespace of ours, from which nothing propagates. */
static void own_mounts(void)
{
	check(unshare(CLONE_NEWNS), STAGE_MOUNTS, "unshare");
	check(mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL), STAGE_MOUNTS, "slave");
}

/* close_range(2) may be unknown to a seccomp filter; then our own /proc, opened before the join, says what is open. */
void nsops_find_strays(void)
{
	if (is(NSOPS_SPAWN) && syscall(CLOSE_RANGE, ~0U, ~0U, 0) < 0)
		check(strays = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), STAGE_SPAWN, "list files");
}

static void close_strays(void)
{
	struct entry { uint64_t inode, next; uint16_t size; uint8_t type; char name[]; } *entry; /* of getdents64(2) */
	_Alignas(struct entry) char entries[2048];
	long size = 0;

	if (strays < 0)
		check(syscall(CLOSE_RANGE, request.lifeline + 1, ~0U, 0), STAGE_SPAWN, "close_range");
	while (strays >= 0 && (size = syscall(SYS_getdents64, strays, entries, sizeof entries)) > 0)
		for (long at = 0; at < size; at += entry->size) {
			entry = (struct entry *)(void *)(entries + at);
			if (nsops_number(entry->name) > request.lifeline && nsops_number(entry->name) != strays)
				close(nsops_number(entry->name));
		}
	check(size, STAGE_SPAWN, "list files");
	if (strays >= 0)
		close(strays);
}

/* The root is the target's, which may have called chroot(2). It was opened before the join, so it has to be shown that it
 * is of the mount namespace we are in by now: below its root, or else, as a root with a mount over it is, a mount that
 * open_tree(2) accepts as ours. A mount namespace of our own needs the whole tree, so it comes before chroot(2). */
static void change_root(void)
{
	char path[4096];
	int copy;

	check(fchdir(files[request.fds - 1]), STAGE_JOIN, "root");
	check(syscall(SYS_getcwd, path, sizeof path), STAGE_JOIN, "root");
	if (path[0] != '/') { /* "(unreachable)/" */
		check(copy = (int)syscall(OPEN_TREE, AT_FDCWD, ".", TREE_CLONE | O_CLOEXEC), STAGE_JOIN, "root");
		close(copy);
	}
	if (is(NSOPS_REMOUNT_SYS))
		own_mounts();
	check(chroot("."), STAGE_JOIN, "chroot");
}

/* Over the old /sys rather than in its place. */
static void remount_sys(void)
{
	int sys, fs, mnt;
	unsigned attributes = ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC;
	struct statvfs old;

	check(sys = open("/sys", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), STAGE_MOUNTS, "open /sys");
	check(fstatvfs(sys, &old), STAGE_MOUNTS, "stat /sys");
	attributes |= old.f_flag & ST_RDONLY ? ATTR_RDONLY : 0;
	check(fs = (int)syscall(FSOPEN, "sysfs", FD_CLOSES_ON_EXEC), STAGE_MOUNTS, "fsopen");
	check(syscall(FSCONFIG, fs, FSCONFIG_CREATE, NULL, NULL, 0), STAGE_MOUNTS, "fsconfig");
	check(mnt = (int)syscall(FSMOUNT, fs, FD_CLOSES_ON_EXEC, attributes), STAGE_MOUNTS, "fsmount");
	check(syscall(MOVE_MOUNT, mnt, "", sys, "", EMPTY_PATHS), STAGE_MOUNTS, "move_mount");
	close(mnt), close(fs), close(sys);
}

void nsops_settle(void)
{
	char path[2]; /* for "/" alone: "(unreachable)/" and the like are ERANGE */

	if (is(NSOPS_ROOT))
		change_root();
	else if (is(NSOPS_REMOUNT_SYS))
		own_mounts();
	for (uint32_t i = 0; i < request.fds; i++)
		close(files[i]);
	if (is(NSOPS_SPAWN))
		close_strays();
	check(prctl(PR_SET_NAME, program_invocation_short_name), STAGE_SPAWN, "name"); /* it was that of a descriptor */
	if (joins(NEWNS) || is(NSOPS_ROOT)) {
		check(chdir("/"), STAGE_JOIN, "chdir");
		check(syscall(SYS_getcwd, path, sizeof path), STAGE_JOIN, "getcwd");
	}
	if (is(NSOPS_REMOUNT_SYS))
		remount_sys();
}
