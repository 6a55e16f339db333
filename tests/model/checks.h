/* The checks, waits and locks of the protocol: spin -DWITHOUT=name takes one
 * out. Beside each: the configuration in which it is missed, and what for. */
#define is_nothing 0
/* a start */
#define is_flock 1 /* starts: two starts have the file at the same time */
#define is_removerLook 2 /* escapee: an escapee ends while a pidkill removes the file, and its flock is free */
#define is_recordLock 3 /* starts: nobody sees that a start is under way, and it may fail yet */
#define is_startSamePath 4 /* starts: the file was removed between open and flock */
#define is_clockSaysDaemon 5 /* closers: the daemon has closed the lock */
#define is_reserve 6 /* stale: killed before it writes the PID, a start leaves an old one */
#define is_undoSamePath 7 /* undone: a start that fails removes another's file */
/* a supervisor */
#define is_supervisorLock 8 /* supervisor: nobody sees it between two runs */
#define is_asked 9 /* supervisor: it starts again what a pidkill has ended */
#define is_supervisorSamePath 10 /* moved: it starts again although the path is another's */
#define is_startLock 11 /* supervisor: a run that begins is taken for a pause */
#define is_outdate 12 /* supervisor: as reserve, before a later run */
#define is_supervisorUnlinkSamePath 13 /* moved: at its end it removes another's file */
/* the question */
#define is_pin 14 /* one: the number comes round before the signal */
#define is_memberKin 15 /* one: the process of the number is gone, its group lives */
#define is_writers 16 /* supervisor: a pause may be long */
#define is_lockFree 17 /* one: nothing lives, and nobody says so */
#define is_otherKin 18 /* one: a start was killed before it wrote the PID */
#define is_writersAgain 19 /* starts: a start began after the look for writers */
#define is_readAgain 20 /* supervisor: the number is that of the run before */
#define is_kinAgain 21 /* starts: who was found has ended */
/* a pidkill */
#define is_groupAgain 22 /* one: who was found has left the group */
#define is_itsSupervisor 23 /* pidkills: a pidkill at work is taken for the supervisor */
#define is_sameMaker 24 /* successor: a newcomer is ended with the daemon */
#define is_askSupervisor 25 /* supervisor: it starts again what a pidkill has ended */
#define is_waitGroup 26 /* one: members are still there */
#define is_secondLook 27 /* supervisor: another run was being started */
#define is_removerLock 28 /* escapee: a start takes the file that is removed */
#define is_removerFlock 29 /* reader: the same, where record locks are not to be had */
#define is_sameMakerHoldsFlock 30 /* reader: the same */
#define is_sameContent 31 /* closers: a newcomer has closed the lock */
#define is_removerSamePath 32 /* everybody: another file has the name by now */
