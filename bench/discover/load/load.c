/* load N.. : runs a command in a private PID and mount namespace that is full of processes and namespaces.
 *
 *   load a|b [-n PROCESSES] [-c CONTAINERS] [-p PINS] -- command argument...
 *
 * Load a: 2000 processes with 11 descriptors each, two of them sockets; 400 of them have a mnt, uts, ipc, user, pid
 * and net namespace of their own; 100 pinned network namespaces in the command's mount namespace. Load b: the pins are
 * there before the containers, so that each of 401 mount namespaces has them. All of it ends with the command. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *dir = "/tmp";

static void need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void pins(int n)
{
	char path[64];
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	for (int i = 0; i < n; i++) {
		need(unshare(CLONE_NEWNET) == 0, "new network namespace");
		snprintf(path, sizeof path, "%s/pin%d", dir, i);
		close(open(path, O_CREAT | O_CLOEXEC | O_WRONLY, 0644));
		need(mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL) == 0, "pin");
	}
	need(setns(home, CLONE_NEWNET) == 0, "go home");
	close(home);
}

/* sleeper opens what makes 11 descriptors, says that it is ready, and sleeps. */
static void sleeper(int ready)
{
	int fds[2];

	need(dup2(ready, 3) == 3 || ready == 3, "ready");
	ready = 3;
	syscall(SYS_close_range, 4, ~0U, 0);
	for (int i = 0; i < 3; i++)
		dup2(open("/dev/null", O_RDWR), i);
	need(pipe(fds) == 0, "pipe");
	need(socket(AF_UNIX, SOCK_STREAM, 0) >= 0, "socket");
	need(socket(AF_INET, SOCK_DGRAM, 0) >= 0, "socket");
	need(eventfd(0, 0) >= 0, "eventfd");
	need(open("/etc/passwd", O_RDONLY) >= 0, "file");
	need(open("/etc", O_RDONLY | O_DIRECTORY) >= 0, "directory");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	need(write(ready, "", 1) == 1, "ready");
	need(dup2(0, ready) == ready, "null");
	for (;;)
		pause();
}

static void spawn(int flags, int ready)
{
	long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

	need(pid >= 0, "clone");
	if (pid == 0)
		sleeper(ready);
}

int main(int argc, char **argv)
{
	int processes = 2000, containers = 400, npins = 100, option, ready[2], status;
	char load = argc > 1 ? argv[1][0] : 'a', byte;

	optind = 2;
	while ((option = getopt(argc, argv, "+n:c:p:")) != -1)
		*(option == 'n' ? &processes : option == 'c' ? &containers : &npins) = atoi(optarg);
	if (optind >= argc)
		return 2;
	need(unshare(CLONE_NEWPID | CLONE_NEWNS) == 0, "private namespaces");
	pid_t init = fork();
	if (init > 0) {
		waitpid(init, &status, 0);
		return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	need(mount("", "/", NULL, MS_PRIVATE | MS_REC, NULL) == 0, "private mounts");
	need(mount("proc", "/proc", "proc", 0, NULL) == 0, "proc");
	dir = "/mnt";
	need(mount("pins", dir, "tmpfs", 0, NULL) == 0, "tmpfs");
	need(pipe2(ready, 0) == 0, "pipe");
	if (load == 'b')
		pins(npins);
	for (int i = 0; i < processes; i++)
		spawn(i < containers ? CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET : 0,
		      ready[1]);
	for (int i = 0; i < processes; i++)
		need(read(ready[0], &byte, 1) == 1, "wait");
	close(ready[0]);
	close(ready[1]);
	if (load != 'b')
		pins(npins);
	pid_t command = fork();
	if (command == 0) {
		execvp(argv[optind], argv + optind);
		need(0, argv[optind]);
	}
	while (waitpid(command, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
