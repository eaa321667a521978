#!/bin/bash
# git keeps a repository on the mount.
# skip-ok: git may be absent
# shellcheck disable=SC2015,SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
command -v git >/dev/null || skip "needs git"
must start_fs
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a
export GIT_COMMITTER_EMAIL=a@b GIT_CONFIG_NOSYSTEM=1 HOME=$WORK
export GIT_CONFIG_GLOBAL=/dev/null
export WORK M

check "init" git init -q -b main "$M/repo"
cd "$M/repo" || exit 1
check "config" git config gc.auto 0
for i in 1 2 3 4 5; do
	mkdir -p "dir$i/sub"
	for j in 1 2 3 4; do
		seq "$i" $((i * 100 + j)) >"dir$i/sub/f$j"
	done
	git add . && git commit -qm "commit $i" || fail "commit $i"
done
same "five commits" 5 "$(git rev-list --count HEAD)"
same "a clean tree" "" "$(git status --porcelain)"
check "branch, change, merge" bash -c '
	git checkout -qb side HEAD~2 && echo side >side && git add side &&
	git commit -qm side && git checkout -q main && [ ! -e side ] &&
	git merge -q -m merge side && [ "$(cat side)" = side ]'
check "checkout of an old commit and back" bash -c '
	git checkout -q HEAD~3 && [ ! -e dir5 ] && git checkout -q main &&
	[ -e dir5/sub/f4 ]'
check "rename and rm" bash -c '
	git mv dir1 moved && git rm -q dir2/sub/f1 && git commit -qm moved'
check "stash" bash -c '
	echo changed >side && git stash -q && [ "$(cat side)" = side ] &&
	git stash pop -q && [ "$(cat side)" = changed ] &&
	git checkout -q -- side'
check "gc" git gc -q --prune=now
check "fsck finds nothing" git fsck --full --strict
check "clone on the mount" git clone -q . ../clone
check "clone to the disk" git clone -q . "$WORK/clone"
check "push to a bare repository" bash -c '
	git init -q --bare ../bare && git push -q ../bare main'
check "push from the disk" bash -c '
	cd "$WORK/clone" && echo new >new && git add new &&
	git commit -qm new && git push -q "$M/bare" main &&
	git --git-dir="$M/bare" fsck --full'
tree=$(git rev-parse 'HEAD^{tree}')
cd / || exit 1
must remount
same "all is there after a remount" "$tree" \
    "$(git -C "$M/repo" rev-parse 'HEAD^{tree}')"
check "fsck after the remount" git -C "$M/repo" fsck --full --strict
same "a clean tree after the remount" "" \
    "$(git -C "$M/repo" status --porcelain)"
must stop_fs
