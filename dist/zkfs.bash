# Completion for zkfs(1) and mount.zkfs(8); bash loads it with the first zkfs.

# The commands, as the program itself lists them.
_zkfs_commands()
{
	zkfs help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p'
}

_zkfs_mounts()
{
	awk '$3 == "fuse.zkfs" { print $2 }' /proc/self/mounts
}

_zkfs_options()
{
	local common='-h --help -m --mount'
	case $1 in
	topic) echo "$common -g --groups -j --json" ;;
	produce) echo "$common -k --key -p --partition" ;;
	consume) echo "$common -f --follow -F --from -g --group -j --json
	    -n --max-count -p --partition -t --tries" ;;
	group) echo "$common -j --json -p --partition" ;;
	status) echo "$common -j --json -M --metrics" ;;
	top) echo "$common -d --delay -j --json" ;;
	verify) echo "$common -j --json -t --tree -w --wait" ;;
	bench) echo "$common -j --json" ;;
	member) echo "$common -j --json -w --wait" ;;
	get) echo "$common -N --newest -V --with-version" ;;
	set) echo "$common -i --if-version -n --no-newline" ;;
	create) echo "$common -d --directory -e --ephemeral -n --no-newline
	    -p --parents -s --sequential" ;;
	hold) echo "$common -g --grace -n --no-newline -W --wait" ;;
	upgrade) echo "$common -w --wait" ;;
	watch) echo "$common -j --json -r --recursive -s --since" ;;
	elect) echo "$common -g --grace -n --no-newline" ;;
	restore) echo "$common -n --name" ;;
	lock) echo "$common -g --grace -n --nonblock -s --shared -w --wait" ;;
	'') echo "$common -V --version" ;;
	*) echo "$common" ;;
	esac
}

# The names below topics of the mount that is meant.
_zkfs_topics()
{
	local dir=$1 name
	[[ -n $dir ]] || dir=$(findmnt -n -o TARGET -T . -t fuse.zkfs 2>/dev/null)
	[[ -n $dir ]] || dir=$(_zkfs_mounts | head -n 1)
	for name in "$dir"/topics/*/; do
		[[ -d $name ]] || continue
		name=${name%/}
		printf '%s\n' "${name##*/}"
	done
}

_zkfs()
{
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local command='' mount='' arguments=0 i
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-m | --mount)
			i=$((i + 1))
			mount=${COMP_WORDS[i]}
			;;
		--)
			# What follows is a command of its own.
			compopt -o default
			return
			;;
		-[gFnpt] | --group | --from | --max-count | --partition | --tries)
			[[ $command != @(consume|produce|group) ]] || i=$((i + 1))
			;;
		-*) ;;
		*)
			if [[ -z $command ]]; then
				command=${COMP_WORDS[i]}
			else
				arguments=$((arguments + 1))
			fi
			;;
		esac
	done
	if [[ $previous == -m || $previous == --mount ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_zkfs_mounts)" -- "$word")
	elif [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_zkfs_options \
		    "$command")" -- "$word")
	elif [[ -z $command || $command == help ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_zkfs_commands)" -- "$word")
	elif [[ $command == member && $arguments == 0 ]]; then
		mapfile -t COMPREPLY < <(compgen -W \
		    "list add remove promote transfer" -- "$word")
	elif [[ $command == topic && $arguments == 0 ]]; then
		mapfile -t COMPREPLY < <(compgen -W \
		    "list create set show remove" -- "$word")
	elif [[ $command == group && $arguments == 0 ]]; then
		mapfile -t COMPREPLY < <(compgen -W \
		    "list create show reset remove" -- "$word")
	elif [[ $command == @(topic|group) && $arguments == 1 ||
	    $command == @(produce|consume) && $arguments == 0 ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_zkfs_topics "$mount")" \
		    -- "$word")
	else
		compopt -o default
	fi
}
complete -F _zkfs zkfs

_mount_zkfs()
{
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local head='' keys
	COMPREPLY=()
	keys='name= source= data= listen= session_timeout= op_timeout=
	    lost=stale lost=eio ro max_file= key= tls_cert= tls_key= tls_ca=
	    insecure http= config= log=error log=warn log=info log=debug
	    log=syslog noexec noatime _netdev nofail'
	# bash splits words at '=': only a list without values is completed.
	if [[ $previous == -o ]]; then
		[[ $word != *,* ]] || head=${word%,*},
		mapfile -t COMPREPLY < <(compgen -P "$head" -W "$keys" -- \
		    "${word##*,}")
		compopt -o nospace
	elif [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W '-f -n -o -r -s -v -w
		    --check --restore -h --help -V --version' -- "$word")
	else
		compopt -o default
	fi
}
complete -F _mount_zkfs mount.zkfs
