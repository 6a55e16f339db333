/*
 * What tests/bench/pgtree.sh needs:
 *	farm SESSIONS SIZE	makes idle processes until standard input closes
 *	loop			opens, reads and closes every /proc/PID/stat
 *	time COMMAND ...	prints wall seconds and peak memory (KiB)
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A child that ends with its parent, however that ends. */
static pid_t
tied(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
	}
	return pid;
}

static void
idle(void)
{
	for (;;)
		pause();
}

/* A session of two groups; the second is led by the leader's first child. */
static void
session(int size)
{
	pid_t second = 0, pid;

	setsid();
	for (int i = 1; i < size; i++) {
		if ((pid = tied()) == 0) {
			if (i % 2)
				setpgid(0, second);
			idle();
		}
		if (second == 0) {
			second = pid;
			setpgid(pid, pid);
		}
	}
	if (write(1, "+", 1) != 1)
		exit(1);
	idle();
}

static int
farm(int sessions, int size)
{
	pid_t *leaders = calloc(sessions, sizeof *leaders);
	char c;

	for (int i = 0; i < sessions; i++)
		if ((leaders[i] = tied()) == 0)
			session(size);
	while (read(0, &c, 1) > 0)
		;
	for (int i = 0; i < sessions; i++)
		kill(leaders[i], SIGKILL); /* not reaped yet: still theirs */
	while (wait(NULL) > 0)
		;
	return 0;
}

static int
loop(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	char path[300], buf[4096];
	int fd;

	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
		if ((fd = open(path, O_RDONLY)) < 0)
			continue;
		if (read(fd, buf, sizeof buf) < 0)
			warn("%s", path);
		close(fd);
	}
	return 0;
}

static int
timed(char **argv)
{
	struct timespec a, b;
	struct rusage use;
	int status;
	pid_t pid;

	clock_gettime(CLOCK_MONOTONIC, &a);
	if ((pid = vfork()) == 0) {
		dup2(open("/dev/null", O_WRONLY), 1);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (wait4(pid, &status, 0, &use) != pid)
		err(1, "wait4");
	clock_gettime(CLOCK_MONOTONIC, &b);
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
		errx(1, "%s: failed", argv[0]);
	printf("%.6f %ld\n", b.tv_sec - a.tv_sec + (b.tv_nsec - a.tv_nsec) / 1e9, use.ru_maxrss);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "farm") == 0)
		return farm(atoi(argv[2]), atoi(argv[3]));
	if (argc == 2 && strcmp(argv[1], "loop") == 0)
		return loop();
	if (argc > 2 && strcmp(argv[1], "time") == 0)
		return timed(argv + 2);
	errx(2, "usage: farm sessions size | loop | time command ...");
}
