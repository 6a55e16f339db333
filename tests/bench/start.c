/*
 * start ROUNDS PIDFILE A... VS PIDFILE B...
 *
 * Runs A and B in turn and takes the time of each from the fork to the moment
 * when it has returned and its pidfile holds a whole line ("-": has none).
 * Prints the medians of A and of B in microseconds, and that of the ratios A/B.
 * What they started comes to this process and is ended before the next run.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int complete(const char *pidfile)
{
	char text[32];
	int fd = open(pidfile, O_RDONLY);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof text);
	close(fd);
	return n > 1 && text[n - 1] == '\n';
}

/* Ends all children, and theirs, which become children. */
static void end_children(void)
{
	do {
		FILE *f = fopen("/proc/thread-self/children", "r");
		int pid;
		if (!f)
			err(1, "children");
		while (fscanf(f, "%d", &pid) == 1)
			kill(pid, SIGKILL);
		fclose(f);
	} while (waitpid(-1, NULL, 0) > 0);
}

static double once(const char *pidfile, char **argv)
{
	int status, file = strcmp(pidfile, "-") != 0;
	double began = now();
	pid_t pid = vfork();
	if (pid == 0) {
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		err(1, "%s", argv[0]);
	if (status)
		errx(1, "%s: wait status %d", argv[0], status);
	while (file && !complete(pidfile))
		if (now() - began > 5e6)
			errx(1, "%s: no pidfile", argv[0]);
	double took = now() - began;
	end_children();
	if (file)
		unlink(pidfile);
	return took;
}

static int order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 0, dashes = 3;
	while (dashes < argc && strcmp(argv[dashes], "VS"))
		dashes++;
	if (rounds < 1 || dashes + 2 >= argc)
		errx(2, "usage: start ROUNDS PIDFILE A... VS PIDFILE B...");
	argv[dashes] = NULL;
	char **a = argv + 2, **b = argv + dashes + 1;
	double *times[3];
	for (int i = 0; i < 3; i++)
		times[i] = calloc(rounds, sizeof(double));
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	once(a[0], a + 1); /* warm */
	once(b[0], b + 1);
	for (int i = 0; i < rounds; i++) {
		if (i % 2)
			times[1][i] = once(b[0], b + 1);
		times[0][i] = once(a[0], a + 1);
		if (i % 2 == 0)
			times[1][i] = once(b[0], b + 1);
		times[2][i] = times[0][i] / times[1][i];
	}
	for (int i = 0; i < 3; i++)
		qsort(times[i], rounds, sizeof(double), order);
	printf("%.1f %.1f %.3f\n", times[0][rounds / 2], times[1][rounds / 2], times[2][rounds / 2]);
	return 0;
}
