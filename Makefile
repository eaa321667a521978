# zkfs.  `sudo make quickstart` and `sudo make check` are all a newcomer needs;
# APT=0 leaves the packages alone.  V=1 shows the commands.
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += -r

PREFIX  ?= /usr/local
DESTDIR ?=
BINDIR  ?= $(PREFIX)/bin
SBINDIR ?= /sbin
MANDIR  ?= $(PREFIX)/share/man
UNITDIR ?= /lib/systemd/system
DOCDIR  ?= $(PREFIX)/share/doc/zkfs
COMPDIR ?= $(PREFIX)/share/bash-completion/completions

CC      = cc
CFLAGS  ?= -O2 -g
BUILD   ?= build
VERSION := $(shell cat dist/VERSION)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion \
        -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
        -Wundef -Wvla -Wcast-qual -Wpointer-arith -Wwrite-strings -Wformat=2 \
        -Wswitch-enum -Wimplicit-fallthrough -Wnull-dereference
ifeq ($(WERROR),1)
WARN += -Werror
endif

comma := ,
ifneq ($(SAN),)
BUILD := build-$(subst $(comma),-,$(SAN))
SAN_CFLAGS := -fsanitize=$(SAN) -fno-sanitize-recover=all
endif

# Appended, so that a packager's CFLAGS from the command line still compose.
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE -I. -DZK_VERSION='"$(VERSION)"' $(WARN) \
             -fstack-protector-strong -fno-omit-frame-pointer \
             $(SAN_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(SAN_CFLAGS) -Wl,-z,relro,-z,now $(LDFLAGS)
FUSE_CFLAGS = $(shell pkg-config --cflags fuse3 2>/dev/null || \
              echo -I/usr/include/fuse3)
LDLIBS_FUSE := -lfuse3
LDLIBS_LMDB := -llmdb
LDLIBS_NNG  := -lnng
LDLIBS      := $(LDLIBS_FUSE) $(LDLIBS_LMDB) $(LDLIBS_NNG) -lmbedcrypto -lpthread

V ?= 0
Q_0 := @
Q := $(Q_$(V))

HOUSE   := base consensus store queue fs daemon ctl
SRCS    := $(wildcard $(HOUSE:%=%/*.c))
OBJS    := $(SRCS:%.c=$(BUILD)/%.o)
PROGRAMS := $(BUILD)/mount.zkfs $(BUILD)/zkfs

all: $(PROGRAMS)
	@:

$(BUILD)/fs/%.o $(BUILD)/daemon/%.o: ALL_CFLAGS += $(FUSE_CFLAGS)
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/mount.zkfs: $(filter $(foreach d,base consensus store queue fs daemon,$(BUILD)/$(d)/%),$(OBJS))
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/zkfs: $(filter $(foreach d,base ctl,$(BUILD)/$(d)/%),$(OBJS))
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

# Tests in C link the house without its two main programs.
LIBOBJS := $(filter-out $(BUILD)/daemon/main.o $(BUILD)/ctl/%,$(OBJS))

include tests/tests.mk

# --- style, as a test ------------------------------------------------------
# The consensus core may call nothing but these: no clock, no heap, no I/O.
PURE := __popcountdi2|__stack_chk_fail|mem(cpy|move|set|cmp)|zk_(assert_fail|raft_[a-z0-9_]*)
lint-pure: $(filter $(BUILD)/consensus/raft%.o,$(OBJS))
	$(Q)nm -u $^ >$(BUILD)/pure.syms
	$(Q)awk 'NF == 2 && $$2 !~ /^($(PURE))$$/ { print "impure:", $$2; n++ } \
	    END { exit n > 0 }' $(BUILD)/pure.syms

FMT_FILES := $(wildcard $(HOUSE:%=%/*.[ch]) tests/*.[ch] tests/*/*.[ch])
fmt:
	clang-format -i $(FMT_FILES)
lint: lint-pure
	$(Q)dist/lint.sh $(FMT_FILES)

# --- two commands ----------------------------------------------------------
APT   ?= 1
MOUNT ?= /zk
DATA  ?= /var/lib/zkfs
quickstart:
	$(Q)APT=$(APT) dist/deps.sh run
	$(Q)$(MAKE) --no-print-directory all
	$(Q)MOUNT='$(MOUNT)' DATA='$(DATA)' BUILD=$(BUILD) dist/quickstart.sh start
stop:
	$(Q)MOUNT='$(MOUNT)' DATA='$(DATA)' BUILD=$(BUILD) dist/quickstart.sh stop
# Three hosts on this machine, for a minute: DIR=/mnt, PAUSE=0.
demo:
	$(Q)APT=$(APT) dist/deps.sh demo
	$(Q)$(MAKE) --no-print-directory all
	$(Q)DIR=$(DIR) BUILD=$(BUILD) dist/demo.sh

# --- installation ----------------------------------------------------------
install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SBINDIR) $(DESTDIR)$(UNITDIR) \
	    $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 \
	    $(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(COMPDIR)
	install -m 755 $(BUILD)/zkfs $(DESTDIR)$(BINDIR)/zkfs
	install -m 755 $(BUILD)/mount.zkfs $(DESTDIR)$(SBINDIR)/mount.zkfs
	ln -sf mount.zkfs $(DESTDIR)$(SBINDIR)/mount.fuse.zkfs
	for page in man/*.[158]; do install -m 644 $$page \
	    $(DESTDIR)$(MANDIR)/man$${page##*.}/; done
	install -m 644 dist/zkfs.service $(DESTDIR)$(UNITDIR)/zkfs.service
	install -m 644 dist/zkfs.bash $(DESTDIR)$(COMPDIR)/zkfs
	install -d $(DESTDIR)$(DOCDIR)
	install -m 644 README.md dist/zkfs.conf $(DESTDIR)$(DOCDIR)/
uninstall:
	rm -f $(DESTDIR)$(BINDIR)/zkfs $(DESTDIR)$(SBINDIR)/mount.zkfs \
	    $(DESTDIR)$(SBINDIR)/mount.fuse.zkfs \
	    $(DESTDIR)$(UNITDIR)/zkfs.service $(DESTDIR)$(COMPDIR)/zkfs \
	    $(DESTDIR)$(DOCDIR)/README.md $(DESTDIR)$(DOCDIR)/zkfs.conf
	for page in man/*.[158]; do rm -f \
	    $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}; done

clean:
	rm -rf build build-*

.PHONY: all lint-pure fmt lint quickstart stop demo install uninstall clean
.SECONDARY:
-include $(OBJS:.o=.d)
