/*
 * zkfs elect: zkfs hold that waits for its turn.
 */
#include "ctl/cmd_hold.h"
#include "ctl/ctl.h"

const struct zk_ctl_command zk_ctl_elect = {
    .name = "elect",
    .arguments = "[-n] [-g SECS] [-m DIR] PATH VALUE|- -- CMD [ARG...]",
    .summary = "Wait to be the one that holds PATH, then run a command",
    .details =
        "As hold --wait: of all that stand for PATH one runs CMD, the others\n"
        "wait.  It runs CMD once; to stand again, run it again.\n\n"
        "  -g, --grace SECS  between SIGTERM and SIGKILL after a loss (10)\n"
        "  -n, --no-newline  add no newline to VALUE\n"
        "  -m, --mount DIR   the mount that PATH is on\n\n" ZK_CTL_HOLD_STATUS,
    .run = zk_ctl_hold_run,
};
