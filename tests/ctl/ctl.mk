# The tests of zkfs(1) and of the examples in the manuals.
check-ctl: all $(BUILD)/tests/mount/waitfor
	$(Q)BUILD=$(abspath $(BUILD)) tests/ctl/run.sh
.PHONY: check-ctl
