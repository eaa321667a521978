#ifndef ZK_CTL_TREE_H
#define ZK_CTL_TREE_H

/*
 * Send a signal to every living descendant of this process, whatever process
 * group or session it went into; 0 only counts them.  Returns how many there
 * were, or -errno when /proc cannot tell.  The caller is their subreaper
 * (PR_SET_CHILD_SUBREAPER), so that orphans stay descendants.
 */
int zk_ctl_tree_signal(int signo);

#endif
