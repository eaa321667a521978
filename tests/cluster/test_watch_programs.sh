#!/bin/bash
# Programs that know nothing of zkfs and wait by inotify(7), on one host, for
# what is done on another: incron, entr and watchdog of Python.  What is not
# installed is left out, and that is said.  inotifywait and tail -F are in
# test_watch.sh; systemd.path needs a systemd as the first process.
# shellcheck disable=SC2016,SC2034 # inner shells expand; lib.sh has VOTERS
VOTERS=2
. "$(dirname "$0")/lib.sh"
must start_all
M1=$WORK/m1 M2=$WORK/m2
seen_on() {
	[ -e "$1/$2" ]
}
left_out() {
	[ "${CI:-}" != true ] || fail "$1 is not installed"
	echo "# SKIP $1 is not installed"
}
has_line() { # FILE LINE
	grep -qxF -- "$2" "$1" 2>/dev/null
}
# What a process watches is in its fdinfo: so this is when it is ready.
is_watching() { # PID PATH
	grep -qs "^inotify .* ino:$(printf %x "$(stat -c %i "$2")") " \
	    /proc/"$1"/fdinfo/*
}
end() { # PID
	kill "$1"
	"$WAITFOR" gone 20 "$1" || kill -KILL "$1"
	wait "$1" 2>/dev/null
}

# --- incron -----------------------------------------------------------------
if command -v incrond >/dev/null; then
	mkdir "$M1/incron" "$WORK/tables" "$WORK/none" "$WORK/run"
	must wait_until 10 seen_on "$M2" incron
	printf '%s\n' "system_table_dir = $WORK/tables" \
	    "user_table_dir = $WORK/none" "lockfile_dir = $WORK/run" \
	    "lockfile_name = incrond" >"$WORK/incron.conf"
	# Its commands are not run one after the other: so one line at a time.
	printf '#!/bin/sh\necho "$*" >>"%s"\n' "$WORK/incron.out" \
	    >"$WORK/told"
	chmod 755 "$WORK/told"
	echo "$M2/incron IN_CREATE,IN_CLOSE_WRITE,IN_MOVE,IN_ATTRIB,IN_DELETE,\
loopable=true,recursive=false $WORK/told \$% \$#" >"$WORK/tables/zkfs"
	spawn incrond -n -f "$WORK/incron.conf" >"$WORK/incrond.log" 2>&1
	incrond=$!
	must wait_until 20 is_watching "$incrond" "$M2/incron"
	incron() { # LINE COMMAND...
		local line=$1
		shift
		must "$@"
		check "incron: $line" wait_until 20 has_line "$WORK/incron.out" \
		    "$line"
	}
	incron "IN_CREATE,IN_ISDIR d" mkdir "$M1/incron/d"
	incron "IN_CLOSE_WRITE f" sh -c 'echo v >"$1/incron/f"' sh "$M1"
	incron "IN_ATTRIB f" chmod 600 "$M1/incron/f"
	incron "IN_MOVED_TO g" mv "$M1/incron/f" "$M1/incron/g"
	incron "IN_DELETE g" rm "$M1/incron/g"
	incron "IN_DELETE,IN_ISDIR d" rmdir "$M1/incron/d"
	same "incron: each once, and nothing else" "IN_ATTRIB f
IN_CLOSE_WRITE f
IN_CREATE f
IN_CREATE,IN_ISDIR d
IN_DELETE g
IN_DELETE,IN_ISDIR d
IN_MOVED_FROM f
IN_MOVED_TO g" "$(sort "$WORK/incron.out")"
	end "$incrond"
else
	left_out incron
fi

# --- entr -------------------------------------------------------------------
if command -v entr >/dev/null; then
	mkdir "$M1/entr"
	echo one >"$M1/entr/f"
	must wait_until 10 seen_on "$M2" entr/f
	must wait_until 10 reads "$M2/entr/f" one
	printf '%s\n' "$M2/entr/f" >"$WORK/entr.in"
	# A job in the background has no stdin of its own.
	spawn sh -c 'exec entr -n -p cat "$0" <"$1"' "$M2/entr/f" \
	    "$WORK/entr.in" >"$WORK/entr.out" 2>&1
	entr=$!
	must wait_until 20 is_watching "$entr" "$M2/entr/f"
	# It drops what comes while it looks around, on any filesystem, at its
	# start and after each run, until 50 ms are quiet: so what is done is
	# done again until it runs.
	runs_for() { # WORD COMMAND...
		"${@:2}"
		"$WAITFOR" text 0.5 "$WORK/entr.out" "$1"
	}
	put() { # WORD
		echo "$1" >"$M1/entr/f"
	}
	replace() { # WORD
		echo "$1" >"$M1/entr/new"
		mv "$M1/entr/new" "$M1/entr/f"
	}
	append() { # WORD
		echo "$1" >>"$M1/entr/f"
	}
	for how in put replace append; do
		check "entr: $how" wait_until 20 runs_for $how $how $how
	done
	[ "$failures" -eq 0 ] || tail -n 5 "$WORK/entr.out"
	check_not "entr: it never ran for nothing" has_line "$WORK/entr.out" \
	    one
	end "$entr"
	# -d: entr ends when there is a new file, so that it can be started anew.
	spawn sh -c 'exec entr -n -p -d true <"$0"' "$WORK/entr.in" \
	    >"$WORK/entr.out" 2>&1
	entr=$!
	must wait_until 20 is_watching "$entr" "$M2/entr"
	is_ended() {
		others=$((others + 1))
		: >"$M1/entr/other$others"
		"$WAITFOR" gone 0.5 "$entr"
	}
	others=0
	check "entr -d: a new file ends it" wait_until 20 is_ended
	wait "$entr" 2>/dev/null
	same "entr -d: and it says why" 2 $?
else
	left_out entr
fi

# --- watchdog ---------------------------------------------------------------
# The first python3 of the path need not be the one with Debian's packages.
python=
for candidate in python3 /usr/bin/python3; do
	"$candidate" -c 'import watchdog.observers.inotify' 2>/dev/null &&
	    python=$candidate
done
if [ -n "$python" ]; then
	mkdir "$M1/dog" "$M1/dog/deep"
	must wait_until 10 seen_on "$M2" dog/deep
	cat >"$WORK/dog.py" <<-'END'
		import os, sys
		from watchdog.events import FileSystemEventHandler
		from watchdog.observers.inotify import InotifyObserver

		top = sys.argv[1]

		class Tell(FileSystemEventHandler):
		    def on_any_event(self, e):
		        to = getattr(e, "dest_path", "")
		        words = [e.event_type, os.path.relpath(e.src_path, top)]
		        if to:
		            words.append(os.path.relpath(to, top))
		        print(*words, "dir" if e.is_directory else "file",
		              flush=True)

		observer = InotifyObserver()
		observer.schedule(Tell(), top, recursive=True)
		observer.start()
		observer.join()
	END
	spawn "$python" "$WORK/dog.py" "$M2/dog" >"$WORK/dog.out" \
	    2>"$WORK/dog.err"
	dog=$!
	must wait_until 20 is_watching "$dog" "$M2/dog/deep"
	echo v >"$M1/dog/f"
	mv "$M1/dog/f" "$M1/dog/deep/g"
	rm "$M1/dog/deep/g"
	mkdir "$M1/dog/new"
	# It watches a new directory once it has heard of it.
	must wait_until 20 is_watching "$dog" "$M2/dog/new"
	echo v >"$M1/dog/new/h"
	rm -r "$M1/dog/new"
	check "watchdog: it comes to the end" wait_until 20 has_line \
	    "$WORK/dog.out" "deleted new dir"
	# What it says of the directory a name is in is its own conclusion.
	same "watchdog: what was done, in order" "created f file
modified f file
closed f file
moved f deep/g file
deleted deep/g file
created new dir
created new/h file
modified new/h file
closed new/h file
deleted new/h file
deleted new dir" "$(grep -v -e '^modified .* dir$' -e '^opened ' \
	    "$WORK/dog.out")"
	same "watchdog: no complaint" "" "$(cat "$WORK/dog.err")"
	end "$dog"
else
	left_out watchdog
fi

stop_all
