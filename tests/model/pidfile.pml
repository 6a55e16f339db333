/* The protocol of a pidfile, one statement a system call: what a start, a
 * supervisor and a pidkill do to it, in every order, and killed at every
 * statement. README.md beside this file says how to read and run it.
 *
 * Two locks. flock(2) says "alive": whoever has the locked description open
 * is kin of its maker's daemon. Record locks say "at work": byte 0 is a start's
 * until the PID is in the file, byte 1 a supervisor's for its life, and both are
 * a pidkill's while it removes the file.
 */

/* ---------- a configuration: who takes part, and what may happen how often ---------- */

#ifndef STARTS
#define STARTS 0
#endif
#ifndef SUPERVISORS		/* starts with -s -r */
#define SUPERVISORS 0
#endif
#ifndef PIDKILLS
#define PIDKILLS 0
#endif
#ifndef NUMBERS			/* process numbers there are: 2 or 3 */
#define NUMBERS 2
#endif
#ifndef INODES			/* 3 or 4 */
#define INODES 3
#endif
#ifndef KILLS			/* of starts, supervisors and pidkills */
#define KILLS 0
#endif
#ifndef DEATHS			/* of processes that nobody signalled */
#define DEATHS 0
#endif
#ifndef RESTARTS		/* by the supervisor */
#define RESTARTS 0
#endif
#ifndef FAILURES		/* of execve(2) */
#define FAILURES 0
#endif
#ifndef CHILDREN		/* of daemons */
#define CHILDREN 0
#endif
#ifndef ESCAPES			/* of children, from group and session */
#define ESCAPES 0
#endif
#ifndef CLOSERS			/* daemons that close the lock's descriptor */
#define CLOSERS 0
#endif
#ifndef STRANGERS		/* processes of others, on a number that came round */
#define STRANGERS 0
#endif
#ifndef READERS			/* 1: pidkills that may not write the file */
#define READERS 0
#endif
#ifndef OUTSIDERS		/* who remove the file, or put another there */
#define OUTSIDERS 0
#endif

/* ---------- the checks; -DWITHOUT=name takes one out ---------- */

#include "checks.h"
#ifndef WITHOUT
#define WITHOUT nothing
#endif
#define IS(name) is_##name
#define IS_(name) IS(name)
#define KEEP(name) (is_##name != IS_(WITHOUT))

/* ---------- the kernel's tables ---------- */

#define ACTORS (STARTS + SUPERVISORS + PIDKILLS)
#define SUPERVISOR(a) ((a) >= STARTS && (a) < STARTS + SUPERVISORS)
#define BIT(x) (1 << (x))
#define ALL 255

/* Inodes. 0 is none. Actor a is the maker a + 1 of a flock or a record lock. */
byte path;			/* the inode that the path leads to */
byte number[INODES + 1];	/* its content: a PID, or 0: empty */
byte older[INODES + 1];		/* the set of processes that started before its time */
byte maker[INODES + 1];		/* of the flock */
byte byte0[INODES + 1], byte1[INODES + 1];	/* who holds the record lock */

/* Processes, by their number: daemons, their children, strangers. */
#define FREE 0
#define FORKED 1		/* has not executed its command yet */
#define RUNS 2
#define EXITS 3			/* its descriptors are closed, it does not count as ended yet */
#define ZOMBIE 4
#define STRANGER 0
#define LEADER 1
#define CHILD 2
#define ESCAPEE 3
byte state[NUMBERS + 1], role[NUMBERS + 1], group[NUMBERS + 1];
byte owner[NUMBERS + 1];	/* the actor (+ 1) whose daemon it is of: its session, too */
byte parent[NUMBERS + 1];	/* the actor (+ 1); 0: init, which reaps at once */
byte holds[NUMBERS + 1];	/* the actor (+ 1) whose locked description it has open */
byte doomed;			/* the set of those that a signal will end */

/* Actors. */
bit alive[ACTORS];
byte file[ACTORS];		/* the inode that it has open */
byte lockFile[ACTORS];		/* that of the description for the flock, as long as anybody has it open */
bit lockOpen[ACTORS];		/* whether the actor itself has */
byte pinned[ACTORS];		/* a pidfd */
bit reaped[ACTORS];		/* the process of the pidfd is gone, its number is free */
byte target[ACTORS];		/* a process group that it signals, by a pidfd */
bit targetGone[ACTORS];
byte read[ACTORS];		/* the number that it read */
byte there[ACTORS];		/* "older", as it was read with the time */
byte same;			/* the set of actors whose file has the time that they read */
byte asked;			/* the set of supervisors that got USR1 */
byte failed;			/* the set of starts whose execve(2) failed */
byte still;			/* the set of actors since whose look nobody did anything */

/* What is left of each thing that may happen. */
byte kills = KILLS, deaths = DEATHS, failures = FAILURES, children = CHILDREN, escapes = ESCAPES;
byte closers = CLOSERS, strangers = STRANGERS, outsiders = OUTSIDERS;

/* For the assertions alone. */
byte home[ACTORS];		/* the inode on which the actor's daemon is */
byte started;			/* the set of starts that said 0, or were killed */
byte touched;			/* the set of those whose file an outsider took away */
byte disturbed;			/* the set of actors behind whose last look at the path an outsider came */
byte right;			/* the set of actors that may say "already running" */
byte finishing;			/* the set of supervisors that start nothing any more */
byte stopped;			/* the set of supervisors of whose run a pidkill ended some */
byte kept;			/* the set of supervisors that had the path after their last run */
byte owed[ACTORS];		/* the set of starts of whose daemons a pidkill must leave nothing */
byte victim[ACTORS];		/* the start (+ 1) whose daemon it has signalled */

hidden byte i, j, k, l;		/* of loops within one statement */

#if NUMBERS == 2
#define ANY(is, x) (is(1, x) || is(2, x))
#else
#define ANY(is, x) (is(1, x) || is(2, x) || is(3, x))
#endif

#define LIVES(p) (state[p] == FORKED || state[p] == RUNS || state[p] == EXITS)
#define OF(p, a) (state[p] != FREE && owner[p] == (a) + 1)
#define HOLDS(p, a) (state[p] != FREE && holds[p] == (a) + 1)
#define USES(p, g) (state[p] != FREE && group[p] == (g))
#define MEMBER(p, g) (LIVES(p) && group[p] == (g))
#define UNSIGNALLED(p, g) (MEMBER(p, g) && !(doomed & BIT(p)))
#define MINE(p, a) (LIVES(p) && owner[p] == (a) + 1 && role[p] != ESCAPEE)
#define ENDING(p, a) (DAEMON(p, a) || MINE(p, a) && (doomed & BIT(p)))
#define DAEMON(p, a) ((state[p] == FORKED || state[p] == RUNS) && owner[p] == (a) + 1 && role[p] != ESCAPEE)
#define NOBODYS(p, a) (state[p] == FORKED && owner[p] == (a) + 1)
#define UNUSED(p) (state[p] == FREE && !ANY(USES, p))

/* ---------- what the kernel does ---------- */

#define CHANGED still = still & BIT(me)

inline closeDescription(a) {	/* the last who closes it frees the flock */
	if
	:: lockFile[a] && !lockOpen[a] && !ANY(HOLDS, a) ->
		if :: maker[lockFile[a]] == a + 1 -> maker[lockFile[a]] = 0 :: else fi;
		lockFile[a] = 0
	:: else
	fi
}

inline closeFile(a) {		/* record locks go with the first descriptor of the file */
	if :: byte0[file[a]] == a + 1 -> byte0[file[a]] = 0 :: else fi;
	if :: byte1[file[a]] == a + 1 -> byte1[file[a]] = 0 :: else fi;
	file[a] = 0
}

inline forget(a) {		/* nothing is left of an actor's daemon */
	if
	:: !alive[a] && !ANY(OF, a) ->
		home[a] = 0; started = started & ~BIT(a); touched = touched & ~BIT(a); stopped = stopped & ~BIT(a)
	:: else
	fi
}

inline setTime(f) {
	older[f] = 0;
	for (i : 1 .. NUMBERS) { if :: state[i] != FREE -> older[f] = older[f] | BIT(i) :: else fi }
	for (i : 0 .. ACTORS - 1) { if :: file[i] == f -> same = same & ~BIT(i) :: else fi }
}

inline create() {		/* a new, empty file at the path */
	for (j : 1 .. INODES) {
		k = (path != j);
		for (i : 0 .. ACTORS - 1) { if :: file[i] == j || lockFile[i] == j || home[i] == j -> k = 0 :: else fi }
		if :: k -> break :: else fi
	}
	assert(k);		/* else the configuration needs more INODES */
	path = j; number[j] = 0; maker[j] = 0; byte0[j] = 0; byte1[j] = 0;
	setTime(j)
}

inline born(p) {
	for (i : 1 .. INODES) { older[i] = older[i] & ~BIT(p) }
	for (i : 0 .. ACTORS - 1) { there[i] = there[i] & ~BIT(p) }
}

inline leave(g) {		/* a group that nobody is in any more has lost its number */
	for (i : 0 .. ACTORS - 1) { if :: target[i] == g && !ANY(USES, g) -> targetGone[i] = 1 :: else fi }
}

inline reap(p) {
	j = group[p]; k = owner[p];
	state[p] = FREE; role[p] = 0; owner[p] = 0; group[p] = 0; parent[p] = 0; holds[p] = 0; doomed = doomed & ~BIT(p);
	for (i : 0 .. ACTORS - 1) { if :: pinned[i] == p -> reaped[i] = 1 :: else fi }
	leave(j);
	if :: k -> k--; forget(k) :: else fi
}

inline closeAll(p) {		/* exit(3), or death: a process's descriptors go before it does */
	if :: state[p] == FORKED -> failed = failed | BIT(owner[p] - 1) :: else fi;
	j = holds[p]; state[p] = EXITS; holds[p] = 0;
	if :: j -> j--; closeDescription(j) :: else fi
}

inline signalGroup(g) {
	for (i : 1 .. NUMBERS) { if :: MEMBER(i, g) -> doomed = doomed | BIT(i) :: else fi }
}

inline signalMine() {		/* by a supervisor, whose children cannot be mistaken */
	for (i : 1 .. NUMBERS) { if :: MINE(i, me) -> doomed = doomed | BIT(i) :: else fi }
}

/* An actor ends, in two steps. */
inline closeFiles(a) { alive[a] = 0; still = still & ~BIT(a); CHANGED; same = same & ~BIT(a); asked = asked & ~BIT(a); closeFile(a) }

inline gone() {
	lockOpen[me] = 0; closeDescription(me);
	read[me] = 0; pinned[me] = 0; reaped[me] = 0; target[me] = 0; targetGone[me] = 0; there[me] = 0; victim[me] = 0; owed[me] = 0;
	failed = failed & ~BIT(me); right = right & ~BIT(me); finishing = finishing & ~BIT(me); kept = kept & ~BIT(me);
	CHANGED;
	for (l : 1 .. NUMBERS) {
		if
		:: state[l] != FREE && parent[l] == me + 1 -> parent[l] = 0; if :: state[l] == ZOMBIE -> reap(l) :: else fi
		:: else
		fi
	}
	forget(me)
}

/* ---------- what must hold ---------- */

/* The names that a violation is reported by: all are false. */
hidden byte one_daemon;		/* no two live daemons on a path that nobody else touched */
hidden byte left_pid;		/* a start that said 0 left a locked file with that PID */
hidden byte left_nothing;	/* a pidkill that said 0 left nothing of the daemon */
hidden byte file_stays;		/* nobody removes or changes the file of another's live daemon */
hidden byte was_running;		/* "already running" was right at some moment while the start ran */
hidden byte was_escaped;		/* only escapees are called escaped */
hidden byte no_stranger;		/* nobody else was signalled */
hidden byte no_escapee;		/* nor who has left the group whose number the file has */
hidden byte was_between;	/* a supervisor is said to be between two runs only if no run was there when that was seen */
hidden byte no_newcomer;		/* nor a daemon that came after the one to be ended */
hidden byte not_again;		/* what a pidkill ended is not started again */
hidden byte on_path;		/* nothing is started again whose path was another's all the time since it ended */

inline mayBeRunning() {
	for (i : 0 .. ACTORS - 1) { if :: alive[i] -> right = right | BIT(i) :: else fi }
}

inline assertExecuted(p) {	/* p has just executed its command */
	k = owner[p] - 1;
	for (i : 1 .. NUMBERS) {
		if
		:: i != p && state[i] == RUNS && (role[i] == LEADER || role[i] == CHILD) && owner[i] != owner[p] &&
		   !(touched & (BIT(k) | BIT(owner[i] - 1))) -> assert(one_daemon)
		:: else
		fi
	}
	assert(!(stopped & BIT(k)) || not_again);
	if
	:: alive[k] && SUPERVISOR(k) && (started & BIT(k)) -> assert((kept & BIT(k)) || on_path)
	:: else
	fi;
	mayBeRunning()
}

inline assertSaid0(d) {
	if
	:: state[d] == RUNS && OF(d, me) && role[d] == LEADER && !(touched & BIT(me)) ->
		assert(path == file[me] && number[path] == d && (CLOSERS || maker[path] == me + 1 && HOLDS(d, me)) || left_pid)
	:: else
	fi
}

inline assertFile(f) {		/* me changes or unlinks f */
	for (i : 1 .. NUMBERS) {
		if
		:: state[i] == RUNS && (role[i] == LEADER || role[i] == CHILD) && owner[i] != me + 1 &&
		   home[owner[i] - 1] == f && !(touched & BIT(owner[i] - 1)) -> assert(file_stays)
		:: else
		fi
	}
}

inline assertUnlink() {
	if
	:: path != file[me] && (disturbed & BIT(me)) -> touch(path)	/* nobody can help that */
	:: else -> assertFile(path)
	fi
}

inline assertSignal(g) {
	for (i : 1 .. NUMBERS) {
		if
		:: MEMBER(i, g) ->
			assert(role[i] != STRANGER || no_stranger);
			assert(role[i] != ESCAPEE || !astray || no_escapee);
			assert(victim[me] == 0 || victim[me] == owner[i] || no_newcomer);
			k = owner[i];
			if :: k && SUPERVISOR(k - 1) && role[i] != ESCAPEE && state[i] == RUNS -> stopped = stopped | BIT(k - 1) :: else fi
		:: else
		fi
	}
	victim[me] = k
}

inline assertEscaped() {
	for (i : 1 .. NUMBERS) {
		if :: DAEMON(i, maker[file[me]] - 1) && !(touched & BIT(owner[i] - 1)) -> assert(was_escaped) :: else fi
	}
}

#define LEADS(p, a) (state[p] == RUNS && OF(p, a) && role[p] == LEADER)
inline seesBetween() { pause = !ANY(LEADS, sup - 1) }
inline assertBetween() { assert(pause || was_between) }

/* What a pidkill that begins now must end: what said 0 or was killed, and lives. */
inline owes() {
	for (i : 0 .. STARTS + SUPERVISORS - 1) {
		if
		:: (started & BIT(i)) && !(touched & BIT(i)) &&
		   (ANY(DAEMON, i) || SUPERVISOR(i) && alive[i] && !(finishing & BIT(i))) -> owed[me] = owed[me] | BIT(i)
		:: else
		fi
	}
}

inline assertNothing(waited) {
	for (i : 0 .. STARTS + SUPERVISORS - 1) {
		if
		:: (owed[me] & BIT(i)) && (started & BIT(i)) && !(touched & BIT(i)) ->
			assert(!ANY(DAEMON, i) && (!waited || !ANY(ENDING, i)) && (!SUPERVISOR(i) || !alive[i] || (finishing & BIT(i))) || left_nothing)
		:: else
		fi
	}
}

inline touch(f) {		/* an outsider removes f from the path */
	for (i : 0 .. ACTORS - 1) {
		if :: file[i] == f || home[i] == f || lockFile[i] == f -> touched = touched | BIT(i) :: else fi
	}
}

/* ---------- the question: who is the daemon, does it live ---------- */

#define FILE file[me]
#define N read[me]
#define PINLIVES (pinned[me] && (!reaped[me] || !KEEP(pin)) && LIVES(pinned[me]))
#define CLOCK(p, a) (there[a] & BIT(p))
#define MAKER(a) maker[file[a]]
#define MAKERHOLDS(a) (alive[MAKER(a) - 1] && lockOpen[MAKER(a) - 1] && lockFile[MAKER(a) - 1] == file[a])
#define KIN(p, a) (LIVES(p) && MAKER(a) && (holds[p] == MAKER(a) || \
	owner[p] == MAKER(a) && role[p] != ESCAPEE && (MAKERHOLDS(a) || CLOCK(p, a))))
#define KINLEADER(p, a) (KIN(p, a) && role[p] == LEADER)
#define KINMEMBER(p, a) (KIN(p, a) && group[p] == N)
#define OLDMEMBER(p, a) (MEMBER(p, N) && CLOCK(p, a))

#if NUMBERS == 2
#define PICK(is) :: is(1, me) -> who = 1 :: is(2, me) -> who = 2
#else
#define PICK(is) :: is(1, me) -> who = 1 :: is(2, me) -> who = 2 :: is(3, me) -> who = 3
#endif

inline statTime() { d_step { there[me] = older[FILE]; same = same | BIT(me) } }

inline readNumber() { N = number[FILE] }

/* It ends at one of the labels running, leaderless, starting, between, nameless,
 * escaped, free and unseen of its caller. */
inline question() {
	statTime();
	readNumber();
	atomic { /* pin */
		if :: N && state[N] != FREE -> pinned[me] = N; reaped[me] = 0 :: else fi };
	atomic { /* kin: the process of that number */
		if :: PINLIVES && KIN(pinned[me], me) -> by = MAKER(me); goto running :: else fi };
	atomic { /* memberKin: a member of the group of that number */
		if :: KEEP(memberKin) && N && ANY(KINMEMBER, me) -> if PICK(KINMEMBER) fi; member = 1; goto found :: else fi };
	atomic { /* writers: F_GETLK of both bytes */
		if
		:: KEEP(writers) && byte0[FILE] -> goto starting
		:: KEEP(writers) && !byte0[FILE] && byte1[FILE] -> sup = byte1[FILE]; by = MAKER(me); seesBetween(); goto readAgain
		:: else
		fi };
	atomic { /* lockFree */
		if :: KEEP(lockFree) && !MAKER(me) -> goto readAgain :: else fi };
	atomic { /* otherKin: leaders first. A start or a pidkill that is seen here is between two calls. */
		if
		:: KEEP(otherKin) && ANY(KINLEADER, me) -> if PICK(KINLEADER) fi
		:: KEEP(otherKin) && !ANY(KINLEADER, me) && ANY(KIN, me) -> if PICK(KIN) fi
		:: else -> goto unseen
		fi };
	atomic { /* writersAgain: a start may have come meanwhile */
		if :: KEEP(writersAgain) && (byte0[FILE] || byte1[FILE]) -> goto unseen :: else fi };
readAgain:
	atomic { /* number and time */
		if
		:: KEEP(readAgain) && (number[FILE] != N || !(same & BIT(me))) -> goto unseen
		:: else -> if :: sup -> assertBetween(); goto between :: !sup && !who -> goto free :: else fi
		fi };
found:	atomic { /* pinFound */
		if :: state[who] == FREE -> goto unseen :: else -> pinned[me] = who; reaped[me] = 0; who = 0; by = MAKER(me) fi };
	atomic { /* kinAgain */
		if :: KEEP(kinAgain) && !(PINLIVES && KIN(pinned[me], me)) -> goto unseen :: else fi };
	if
	:: member -> goto leaderless
	:: !member && !N -> goto nameless
	:: else -> goto escaped
	fi
}

inline forgetLook() { N = 0; pinned[me] = 0; reaped[me] = 0; there[me] = 0; same = same & ~BIT(me); who = 0; by = 0; sup = 0; member = 0; pause = 0 }

/* A look that led to nothing is repeated when somebody has done something. */
#define BEGINLOOK !(still & BIT(me)) -> still = still | BIT(me)
#define ENDLOOK still = still & ~BIT(me)

/* ---------- a start ---------- */

inline mayRun() {		/* "already running" is right from the beginning */
	for (i : 1 .. NUMBERS) { if :: LIVES(i) && owner[i] && (state[i] != FORKED || !alive[owner[i] - 1]) -> right = right | BIT(me) :: else fi }
	for (i : STARTS .. STARTS + SUPERVISORS - 1) { if :: i != me && alive[i] && (started & BIT(i)) -> right = right | BIT(me) :: else fi }
}

inline sayRunning() { assert((right & BIT(me)) || was_running) }

inline obtain(keeps1) {
	d_step { mayRun() };
again:	atomic { /* openOrCreate: O_RDWR */
		BEGINLOOK; touched = touched & ~BIT(me);
		if :: path -> FILE = path; goto opened :: else fi };
	atomic { /* openOrCreate: O_RDWR|O_CREAT|O_EXCL */
		if :: path -> ENDLOOK; goto again :: else -> d_step { create(); FILE = path; CHANGED } fi };
opened:	atomic { /* openLock: O_RDONLY, by the path once more */
		if :: path -> lockFile[me] = path; lockOpen[me] = 1 :: else -> goto letGo fi };
	atomic { /* flock */
		if
		:: maker[lockFile[me]] == 0 || !KEEP(flock) -> maker[lockFile[me]] = me + 1; CHANGED
		:: else -> goto ask
		fi };
	atomic { /* recordLock: byte 0, a supervisor also byte 1 */
		if
		:: (byte0[FILE] || byte1[FILE]) && KEEP(removerLook) -> goto letGo
		:: else -> if :: KEEP(recordLock) -> byte0[FILE] = me + 1 :: else fi;
			if :: keeps1 && KEEP(supervisorLock) -> byte1[FILE] = me + 1 :: else fi; CHANGED
		fi };
	atomic { /* samePath */
		if :: path != FILE && KEEP(startSamePath) -> goto letGo :: else -> home[me] = FILE; ENDLOOK fi };
	d_step { /* statTime, readNumber: with both locks nobody else writes */
		N = number[FILE]; there[me] = older[FILE] };
	atomic { /* clockSaysDaemon */
		if
		:: N && LIVES(N) && CLOCK(N, me) && KEEP(clockSaysDaemon) -> sayRunning(); home[me] = 0; goto end
		:: N && !LIVES(N) && ANY(OLDMEMBER, me) && KEEP(clockSaysDaemon) -> sayRunning(); home[me] = 0; goto end
		:: N && !LIVES(N) && ANY(MEMBER, N) && !ANY(OLDMEMBER, me) && KEEP(clockSaysDaemon) -> home[me] = 0; goto end	/* cannot tell */
		:: else -> d_step { forgetLook() }; goto taken
		fi };
ask:	question();
running: leaderless: between: nameless: escaped:
	sayRunning(); goto end;
starting: free: unseen:
letGo:	atomic { d_step { forgetLook(); closeFile(me); CHANGED } };
	d_step { lockOpen[me] = 0; closeDescription(me); CHANGED };
	goto again;
taken:	skip
}

inline reserve(does) {	/* the number in the file is nobody's from now on */
	atomic {
		if
		:: number[FILE] && does -> d_step { assertFile(FILE); number[FILE] = 0; setTime(FILE); CHANGED }
		:: else
		fi }
}

inline fork() {
	atomic {
		if
		:: UNUSED(1) -> d = 1
		:: UNUSED(2) -> d = 2
#if NUMBERS > 2
		:: UNUSED(3) -> d = 3
#endif
		:: else -> goto undo
		fi;
		d_step {
			state[d] = FORKED; role[d] = LEADER; owner[d] = me + 1; group[d] = d; parent[d] = me + 1; holds[d] = me + 1;
			born(d); CHANGED } }
}

inline exec() {			/* seen to have succeeded, or failed */
	atomic {
		if
		:: state[d] != FORKED && !(failed & BIT(me))
		:: state[d] == ZOMBIE && (failed & BIT(me)) -> d_step { failed = failed & ~BIT(me); reap(d); d = 0; CHANGED }; goto undo
		fi }
}

inline writePID() {
	d_step { /* write(2) sets the time, */ assertFile(FILE); setTime(FILE); CHANGED };
	d_step { /* then the content */ number[FILE] = d; CHANGED }
}

inline releaseStart() { d_step { byte0[FILE] = 0; CHANGED } }

inline say0() { d_step { started = started | BIT(me); assertSaid0(d) } }

/* Whoever has the locks looks whether the path still is the file, and unlinks it. */
inline unlinkFile(looks) {
	d_step { ours = (path == FILE || !looks); disturbed = disturbed & ~BIT(me) };
	d_step { if :: ours && path -> assertUnlink(); path = 0; CHANGED :: else fi; ours = 0 }
}

proctype Start(byte me) {
	byte d, who, by, sup;
	bit member, ours, pause;
	{
		obtain(0);
		reserve(KEEP(reserve));
		fork();
		exec();
		writePID();
		releaseStart();
		say0();
		goto end;
undo:		unlinkFile(KEEP(undoSamePath));
end:		atomic { d_step { closeFiles(me) } }
	} unless { !alive[me] };
	d_step { d = 0; who = 0; by = 0; sup = 0; member = 0; ours = 0; pause = 0; gone() }
}

/* ---------- a supervisor ---------- */

proctype Supervisor(byte me) {
	byte d, who, by, sup, restarts = RESTARTS;
	bit member, ours, pause;
	{
		obtain(1);
		reserve(KEEP(reserve));
		fork();
		exec();
		writePID();
		releaseStart();
		say0();
end_wait:	atomic { d_step { state[d] == ZOMBIE -> reap(d); kept = kept & ~BIT(me); if :: path == FILE -> kept = kept | BIT(me) :: else fi } };
		d = 0;
		if
		:: goto drain		/* no -r, or it ended with 0 */
		:: restarts -> restarts--
		fi;
rest:		atomic { d_step { signalMine(); CHANGED } };	/* the rest of the group goes first */
		!ANY(MINE, me);
		if :: goto paused :: skip fi;
end_pause:	(asked & BIT(me));	/* a pause may be long */
paused:		atomic { /* asked: USR1 */
			if :: (asked & BIT(me)) && KEEP(asked) -> goto finish :: else fi };
		atomic { /* samePath */
			if :: path != FILE && KEEP(supervisorSamePath) -> goto finish :: else fi };
		atomic { /* startLock: byte 0 */
			if
			:: byte0[FILE] && KEEP(startLock) -> goto finish
			:: else -> if :: KEEP(startLock) -> byte0[FILE] = me + 1; CHANGED :: else fi
			fi };
		reserve(KEEP(outdate));
		fork();
		exec();
		writePID();
		releaseStart();
		goto end_wait;
undo:		atomic { d_step { byte0[FILE] = 0; CHANGED; kept = kept & ~BIT(me); if :: path == FILE -> kept = kept | BIT(me) :: else fi } };
		if
		:: (started & BIT(me)) && restarts -> restarts--; goto rest
		:: goto finish
		fi;
drain:		skip;
end_drain:	!ANY(MINE, me);
finish:		atomic { d_step { finishing = finishing | BIT(me) } };
		unlinkFile(KEEP(supervisorUnlinkSamePath));
end:		atomic { d_step { closeFiles(me) } }
	} unless { !alive[me] };
	d_step { d = 0; who = 0; by = 0; sup = 0; member = 0; ours = 0; pause = 0; restarts = 0; gone() }
}

/* ---------- a pidkill ---------- */

proctype Pidkill(byte me) {
	byte who, sup, by, mine;
	bit member, ours, pause, astray, sweep;
	{
		d_step { owes() };
again:		atomic { /* open */
			BEGINLOOK;
			d_step { forgetLook(); target[me] = 0; targetGone[me] = 0; closeFile(me); if :: lockOpen[me] -> lockOpen[me] = 0; closeDescription(me); CHANGED :: else fi };
			if
			:: path == 0 -> goto left
			:: else -> FILE = path; lockFile[me] = path; lockOpen[me] = 1
			fi };
look:		question();

unseen: starting:
		goto again;

free:		atomic { /* clock */
			if
			:: N == 0 && !sweep && !(still & BIT(me)) -> goto again
			:: N == 0 && !sweep -> goto unknown	/* it lasts */
			:: N == 0 && sweep -> goto remove
			:: N && PINLIVES && (sweep || !CLOCK(pinned[me], me)) -> goto left	/* a newcomer, a stranger: the file stays */
			:: N && PINLIVES && !sweep && CLOCK(pinned[me], me) -> goto belongs
			:: N && !PINLIVES && ANY(OLDMEMBER, me) && !sweep -> if PICK(OLDMEMBER) fi; member = 1
			:: N && !PINLIVES && ANY(MEMBER, N) && (sweep || !ANY(OLDMEMBER, me)) -> goto end	/* cannot tell */
			:: N && !PINLIVES && !ANY(MEMBER, N) -> goto remove
			fi };
		atomic { /* pinFound */
			if :: state[who] == FREE -> goto again :: else -> pinned[me] = who; reaped[me] = 0; who = 0; goto belongs fi };

escaped:	atomic {
			if
			:: sweep && by != mine && KEEP(sameMaker) -> goto left
			:: sweep && (by == mine || !KEEP(sameMaker)) -> goto remove
			:: !sweep -> d_step { assertEscaped(); skip }; goto end
			fi };

running: leaderless: nameless: belongs:
		atomic { /* getpgid, and groupAgain */
			if
			:: !PINLIVES || member && group[pinned[me]] != N && KEEP(groupAgain) -> goto again
			:: else -> target[me] = group[pinned[me]]; targetGone[me] = 0; astray = (N && group[pinned[me]] != N)
			fi };
		atomic { /* itsSupervisor: F_GETLK once more */
			if
			:: byte0[FILE] && KEEP(itsSupervisor) -> goto again
			:: else -> sup = byte1[FILE]
			fi };

between:	atomic { /* sameMaker */
			if :: sweep && by != mine && KEEP(sameMaker) -> goto left :: else mine = by fi };
		atomic { /* askSupervisor: USR1 */
			if
			:: sup && alive[sup - 1] && KEEP(askSupervisor) -> assert(SUPERVISOR(sup - 1) || no_stranger); asked = asked | BIT(sup - 1); CHANGED
			:: else
			fi };
		d_step { forgetLook() };
		if :: target[me] == 0 -> sweep = 1; goto again :: else -> ENDLOOK fi;	/* between two runs: until it has ended, or runs */
#define GROUPGONE (target[me] == 0 || targetGone[me] && KEEP(pin) || !ANY(MEMBER, target[me]))
signal:		atomic {
			if :: GROUPGONE -> goto groupEnded :: else -> d_step { assertSignal(target[me]); signalGroup(target[me]); CHANGED } fi };
		atomic { /* waitGroup */
			if
			:: GROUPGONE || !KEEP(waitGroup)
			:: !GROUPGONE && ANY(UNSIGNALLED, target[me]) -> goto signal
			fi };
groupEnded:	atomic { d_step { astray = 0; target[me] = 0; targetGone[me] = 0; sup = 0; sweep = 1 } };
		atomic { /* the second look */
			if
			:: path != FILE -> goto left
			:: path == FILE && KEEP(secondLook) -> goto look
			:: else
			fi };

remove:		atomic { /* removerLock: both bytes, by who may write the file */
			if
			:: READERS
			:: !READERS && (byte0[FILE] || byte1[FILE]) && KEEP(removerLock) -> if :: sweep -> goto left :: else -> goto again fi
			:: else -> if :: !READERS && KEEP(removerLock) -> byte0[FILE] = me + 1; byte1[FILE] = me + 1; CHANGED :: else fi
			fi };
		atomic { /* removerFlock */
			if
			:: MAKER(me) == 0 -> if :: KEEP(removerFlock) -> MAKER(me) = me + 1; CHANGED :: else fi
			:: else -> /* sameMakerHoldsFlock: only escapees */
				if
				:: KEEP(sameMakerHoldsFlock) && (READERS || !sweep || MAKER(me) != mine) -> if :: sweep -> goto left :: else -> goto giveUp fi
				:: else
				fi
			fi };
		atomic { /* sameContent: number and time, or emptied by the daemon */
			if
			:: KEEP(sameContent) && !(sweep && number[FILE] == 0) && (number[FILE] != N || !(same & BIT(me))) -> goto giveUp
			:: else
			fi };
		unlinkFile(KEEP(removerSamePath));
		goto left;

giveUp:		atomic { d_step { closeFile(me); CHANGED } }; goto again;
unknown:	atomic { d_step { assertNothing(0); skip } }; goto end;
left:		atomic { d_step { assertNothing(1); skip } };
end:		atomic { d_step { closeFiles(me) } }
	} unless { !alive[me] };
	d_step { who = 0; sup = 0; by = 0; mine = 0; member = 0; ours = 0; pause = 0; astray = 0; sweep = 0; gone() }
}

/* ---------- everybody else ---------- */

#define SEEN(a, p) (read[a] == p || target[a] == p || pinned[a] == p)
#if ACTORS == 2
#define ANYACTOR(is, x) (is(0, x) || is(1, x))
#elif ACTORS == 3
#define ANYACTOR(is, x) (is(0, x) || is(1, x) || is(2, x))
#else
#define ANYACTOR(is, x) (is(0, x) || is(1, x) || is(2, x) || is(3, x))
#endif
/* A stranger's number matters only where somebody has it in mind. */
#if INODES == 3
#define WRITTEN(p) (number[1] == p || number[2] == p || number[3] == p)
#else
#define WRITTEN(p) (number[1] == p || number[2] == p || number[3] == p || number[4] == p)
#endif
#define REMEMBERED(p) (WRITTEN(p) || ANYACTOR(SEEN, p))

#define PROCESS(p) \
	:: d_step { state[p] == FORKED -> still = 0; state[p] = RUNS; assertExecuted(p); skip } \
	:: d_step { state[p] == FORKED && failures -> still = 0; failures--; closeAll(p); skip } \
	:: d_step { (state[p] == RUNS || state[p] == FORKED) && (doomed & BIT(p)) -> still = 0; closeAll(p); skip } \
	:: d_step { state[p] == RUNS && !(doomed & BIT(p)) && deaths -> still = 0; deaths--; closeAll(p); skip } \
	:: d_step { state[p] == EXITS -> still = 0; state[p] = ZOMBIE; if :: parent[p] == 0 -> reap(p) :: else fi; skip } \
	:: d_step { state[p] == RUNS && role[p] == LEADER && closers && holds[p] && number[home[owner[p] - 1]] == p -> \
		still = 0; closers--; j = holds[p] - 1; holds[p] = 0; closeDescription(j); skip } \
	:: d_step { state[p] == RUNS && role[p] == CHILD && escapes -> still = 0; escapes--; j = group[p]; group[p] = p; role[p] = ESCAPEE; leave(j); skip } \
	:: d_step { strangers && REMEMBERED(p) && UNUSED(p) -> still = 0; strangers--; state[p] = RUNS; group[p] = p; born(p); skip }

#define CHILD_OF(p, q) \
	:: d_step { children && state[p] == RUNS && role[p] == LEADER && UNUSED(q) -> still = 0; children--; \
		state[q] = RUNS; role[q] = CHILD; owner[q] = owner[p]; group[q] = p; holds[q] = holds[p]; born(q); skip }

#define KILL(a) \
	:: d_step { kills && alive[a] -> kills--; me = a; if :: home[me] -> started = started | BIT(me) :: else fi; if :: ANY(NOBODYS, me) -> mayBeRunning() :: else fi; still = 0; closeFiles(me); me = 0 }

proctype World() {
	byte me;
end:	do
	PROCESS(1)
	PROCESS(2)
	CHILD_OF(1, 2)
	CHILD_OF(2, 1)
#if NUMBERS > 2
	PROCESS(3)
	CHILD_OF(1, 3)
	CHILD_OF(2, 3)
	CHILD_OF(3, 1)
	CHILD_OF(3, 2)
#endif
	KILL(0)
	KILL(1)
#if ACTORS > 2
	KILL(2)
#endif
#if ACTORS > 3
	KILL(3)
#endif
	:: d_step { outsiders && path -> outsiders--; still = 0; touch(path); disturbed = ALL; path = 0 }
	:: d_step { outsiders && path -> outsiders--; still = 0; touch(path); disturbed = ALL; create(); skip }
	/* It need not happen: nobody may wait for it. */
	:: d_step { kills || deaths || failures || children || escapes || closers || strangers || outsiders ->
		kills = 0; deaths = 0; failures = 0; children = 0; escapes = 0; closers = 0; strangers = 0; outsiders = 0 }
	od
}

init {
	atomic {
		byte a;
		for (a : 0 .. ACTORS - 1) {
			alive[a] = 1;
			if
			:: a < STARTS -> run Start(a)
			:: SUPERVISOR(a) -> run Supervisor(a)
			:: else -> run Pidkill(a)
			fi
		}
		a = 0;
		run World()
	}
}
