#!/usr/bin/env bash
# lint.sh FILE...: style and static checks of the C files named, and of the
# manuals and scripts of the tree.  One line per step; what is wrong follows
# it.  LINT_CACHE remembers which files clang-tidy found clean, by the hash of
# all that it would read.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

LINT_CACHE=${LINT_CACHE:-build/lint}
LINES_MAX=600
JOBS=$(nproc)
CFLAGS_LINT=(-std=c17 -D_GNU_SOURCE -I. -I/usr/include/fuse3
    '-DZK_VERSION="x"')
status=0

files=("$@")
sources=()
for file in "${files[@]}"; do
	[[ $file == *.c ]] && sources+=("$file")
done
# What belongs to the project: tracked or not, but nothing that was built.
mapfile -t tree < <(find . -path ./.git -prune -o -path './build*' -prune \
    -o -type f -print | sed 's,^\./,,' | LC_ALL=C sort)
scripts=()
manuals=()
for file in "${tree[@]}"; do
	case $file in
	*.sh | .ci/run) scripts+=("$file") ;;
	man/*.[158]) manuals+=("$file") ;;
	esac
done

# step NAME COUNT OUTPUT RC: the one line, and the findings when there are any.
step()
{
	if [ "$4" -eq 0 ]; then
		printf '  LINT    %s (%s files)\n' "$1" "$2"
	else
		printf '  LINT    %s (%s files): FAILED\n%s\n' "$1" "$2" "$3"
		status=1
	fi
}

# A tool that is not there must not look like a tool that found nothing.
need()
{
	command -v "$1" >/dev/null && return 0
	printf '  LINT    %s: FAILED\n%s is not installed: dist/deps.sh test\n' \
	    "$1" "$1"
	status=1
	return 1
}

check_format()
{
	local out
	out=$(printf '%s\0' "${files[@]}" | xargs -0 -P "$JOBS" -n 16 \
	    clang-format --dry-run -Werror 2>&1)
	step clang-format ${#files[@]} "$out" $?
}

# tidy_one FILE: for xargs; prints findings, remembers success.
tidy_one()
{
	local key stamp out checks=--checks=
	key=$({
		cc "${CFLAGS_LINT[@]}" -E "$1" && cat "$1" .clang-tidy
	} 2>/dev/null | sha256sum) || key=
	stamp=$LINT_CACHE/tidy-${key%% *}
	[ -n "$key" ] && [ -e "$stamp" ] && return 0
	# The macros of the test framework nest deeper than any function may;
	# some tests include the module to reach its static functions.
	[[ $1 == tests/* ]] &&
	    checks=--checks=-readability-function-size,-bugprone-suspicious-include
	out=$(clang-tidy --quiet "$checks" "$1" -- "${CFLAGS_LINT[@]}" \
	    2>&1) || {
		# One line per finding; without any, it did not even parse.
		printf '%s\n' "$out" | grep -E ': (error|warning): ' ||
		    printf '%s: clang-tidy failed:\n%s\n' "$1" "$out"
		return 1
	}
	[ -z "$key" ] || : >"$stamp"
}

check_tidy()
{
	local out
	mkdir -p "$LINT_CACHE"
	out=$(printf '%s\0' "${sources[@]}" | xargs -0 -P "$JOBS" -n 1 \
	    "$0" --tidy-one 2>&1)
	step clang-tidy ${#sources[@]} "$out" $?
}

check_cppcheck()
{
	local out
	mkdir -p "$LINT_CACHE/cppcheck"
	out=$(cppcheck --quiet --std=c11 --language=c -j "$JOBS" \
	    --cppcheck-build-dir="$LINT_CACHE/cppcheck" \
	    --enable=warning,performance,portability --inline-suppr \
	    --error-exitcode=1 --suppress=missingIncludeSystem \
	    --suppress=unknownMacro --template=gcc -D_GNU_SOURCE -I. \
	    "${sources[@]}" 2>&1)
	step cppcheck ${#sources[@]} "$out" $?
}

check_manuals()
{
	local out
	[ ${#manuals[@]} -gt 0 ] || return 0
	out=$(mandoc -T lint -W warning "${manuals[@]}" 2>&1)
	step mandoc ${#manuals[@]} "$out" $?
}

check_scripts()
{
	local out
	# Libraries are sourced: what one file assigns, or takes as the
	# argument of a function, another uses or gives.  Those that are not
	# executable are bash's.
	out=$(for script in "${scripts[@]}"; do
		shell=()
		[ -x "$script" ] || shell=(--shell bash --exclude SC2034)
		shellcheck -S warning -e SC2119 -e SC2120 -e SC2154 -f gcc \
		    "${shell[@]}" "$script"
	done 2>&1)
	[ -z "$out" ]
	step shellcheck ${#scripts[@]} "$out" $?
}

# Arrows point one way: which folders a folder's files may include.
check_includes()
{
	local out
	# shellcheck disable=SC2016 # awk's own dollars
	out=$(printf '%s\0' "${files[@]}" | xargs -0 awk '
	BEGIN {
		may["base"] = "base"
		may["consensus"] = "consensus store base"
		may["store"] = "store base"
		may["queue"] = "queue consensus store base"
		may["fs"] = "fs base"
		may["ctl"] = "ctl base"
		may["daemon"] = "daemon fs queue store consensus base"
	}
	/^#[ \t]*include[ \t]+"/ {
		split(FILENAME, own, "/")
		split($0, quoted, "\"")
		if (!(own[1] in may))
			next
		if (split(quoted[2], want, "/") < 2) {
			printf "%s:%d: %s: name the folder\n", FILENAME, FNR,
			    quoted[2]
			bad = 1
			next
		}
		list = may[own[1]]
		# The core of Raft is pure.
		if (own[1] == "consensus" && own[2] ~ /^raft/)
			list = "consensus base"
		if (index(" " list " ", " " want[1] " ") == 0) {
			printf "%s:%d: %s may not include %s\n", FILENAME,
			    FNR, own[1], quoted[2]
			bad = 1
		}
	}
	END { exit bad }')
	step includes ${#files[@]} "$out" $?
}

check_length()
{
	local out
	out=$(printf '%s\0' "${files[@]}" | xargs -0 awk -v max=$LINES_MAX '
	{ lines[FILENAME] = FNR }
	END {
		for (file in lines)
			if (lines[file] > max) {
				printf "%s: %d lines, at most %d\n", file,
				    lines[file], max
				bad = 1
			}
		exit bad
	}')
	step "file length" ${#files[@]} "$out" $?
}

# The project stands alone: no page, path or mark that its reader cannot see.
check_alone()
{
	local out page pages='' marks='TO''DO|FIX''ME'
	for page in SPEC PITFALLS PEERS STYLE; do
		[ -e "$page.md" ] || pages="$pages|\\b$page\\.md\\b"
	done
	out=$(printf '%s\0' "${tree[@]}" | xargs -0 grep -InE \
	    "\\.\\./shar""ed|/work/|/tmp/zk""fs/|\\b($marks)\\b$pages" \
	    --exclude=lint.sh -- 2>/dev/null)
	[ -z "$out" ]
	step "stands alone" ${#tree[@]} "$out" $?
}

if [ "${1:-}" = --tidy-one ]; then
	tidy_one "$2"
	exit
fi
check_length
check_includes
check_alone
need clang-format && check_format
need mandoc && check_manuals
need shellcheck && check_scripts
need cppcheck && check_cppcheck
need clang-tidy && check_tidy
exit $status
