# Known ways to break the code, each of which a suite must notice.  Not part
# of `make check`: it builds for a quarter of an hour.
mutations:
	$(Q)tests/mutations/run.sh $(MUTATIONS)

.PHONY: mutations
