//go:build linux && cgo

/*
 * The files of the worker: it gets the target's root directory, keeps none of the caller's descriptors but the declared
 * ones, and with NSOPS_REMOUNT_SYS gets a /sys that shows the network namespace which it has joined.
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

static int fd_list = -1; /* /proc/self/fd, if close_range(2) is missing */

/* Creates a mount namespace from which no mount propagates. */
static void unshare_mounts(void)
{
	check(unshare(CLONE_NEWNS), STAGE_MOUNTS, "unshare");
	check(mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL), STAGE_MOUNTS, "slave");
}

/* A seccomp filter may refuse close_range(2). Then /proc/self/fd is read; opened before the join, it is ours. */
void nsops_find_inherited(void)
{
	if (has(NSOPS_SPAWN) && syscall(CLOSE_RANGE, ~0U, ~0U, 0) < 0)
		check(fd_list = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), STAGE_SPAWN, "list files");
}

static void close_inherited(void)
{
	struct entry { uint64_t inode, next; uint16_t size; uint8_t type; char name[]; } *entry; /* of getdents64(2) */
	_Alignas(struct entry) char entries[2048];
	long size = 0;

	if (fd_list < 0)
		check(syscall(CLOSE_RANGE, request.lifeline + 1, ~0U, 0), STAGE_SPAWN, "close_range");
	while (fd_list >= 0 && (size = syscall(SYS_getdents64, fd_list, entries, sizeof entries)) > 0)
		for (long at = 0; at < size; at += entry->size) {
			entry = (struct entry *)(void *)(entries + at);
			if (nsops_number(entry->name) > request.lifeline && nsops_number(entry->name) != fd_list)
				close(nsops_number(entry->name));
		}
	check(size, STAGE_SPAWN, "list files");
	if (fd_list >= 0)
		close(fd_list);
}

/* The caller has opened the target's root directory, which chroot(2) may have changed, before the join. It must belong to
 * the mount namespace that was joined: it has a path there, or if another mount hides it, open_tree(2) accepts it, as it
 * does only in our namespace. unshare_mounts() copies the tree of mounts that we see, so it comes before chroot(2). */
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
	if (has(NSOPS_REMOUNT_SYS))
		unshare_mounts();
	check(chroot("."), STAGE_JOIN, "chroot");
}

/* The new /sys hides the old one, which stays mounted below it. */
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

void nsops_change_files(void)
{
	char path[2]; /* room for "/" only: any other path is ERANGE */

	if (has(NSOPS_ROOT))
		change_root();
	else if (has(NSOPS_REMOUNT_SYS))
		unshare_mounts();
	for (uint32_t i = 0; i < request.fds; i++)
		close(files[i]);
	if (has(NSOPS_SPAWN))
		close_inherited();
	check(prctl(PR_SET_NAME, program_invocation_short_name), STAGE_SPAWN, "name"); /* execveat(2) named it after a descriptor */
	if (joins(NEWNS) || has(NSOPS_ROOT)) {
		check(chdir("/"), STAGE_JOIN, "chdir");
		check(syscall(SYS_getcwd, path, sizeof path), STAGE_JOIN, "getcwd");
	}
	if (has(NSOPS_REMOUNT_SYS))
		remount_sys();
}
