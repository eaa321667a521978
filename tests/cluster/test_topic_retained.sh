#!/bin/bash
# timeout: 240
# test_topic_faults, while retention takes away what was written a moment ago:
# besides, a start only grows, whoever leads, and nothing is before it.
# shellcheck disable=SC2034 # topics.sh has RETAIN
RETAIN=128K
. "$(dirname "$0")/test_topic_faults.sh"
