#ifndef ZK_DAEMON_RESTORE_H
#define ZK_DAEMON_RESTORE_H

/*
 * mount.zkfs --restore [-o name=NAME] FILE DATADIR: make the data directory of
 * a new ensemble of one member from a backup; what zkfs restore runs.
 * argv[0] is "--restore".  Returns the exit status, with everything said.
 * One thread.
 */
int zk_restore_main(int argc, char *argv[]);

#endif
