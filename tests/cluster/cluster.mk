# Several daemons on one machine, as one ensemble.
check-cluster: all $(BUILD)/tests/mount/waitfor \
    $(BUILD)/tests/mount/worker_append $(BUILD)/tests/mount/watcher \
    $(BUILD)/tests/mount/worker_watch
	$(Q)BUILD=$(abspath $(BUILD)) tests/cluster/run.sh $(CLUSTER_TESTS)
.PHONY: check-cluster
