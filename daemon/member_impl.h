#ifndef ZK_DAEMON_MEMBER_IMPL_H
#define ZK_DAEMON_MEMBER_IMPL_H

/* The inside of a member, shared by member*.c only. */

#include "base/codec.h"
#include "daemon/member.h"

/*
 * Frames between members: a kind, then
 *   RAFT     a message of daemon/replica_wire.c
 *   CALM     the same, from a member that is calm (member_pace.c)
 *   FORWARD  u32 count, then count times u32 length and an encoded command
 *   REFUSE   u64 session, number, u32 -rc: a forwarded command will not be
 *            proposed, and never was
 *   PING     u64 session, u64 when the holder sent it (its own clock), u8
 *            1: the holder's disk has room; u64 index up to which it has
 *            applied, u64 digest of its tree then (index 0: not known)
 *   PONG     the same two, back from the leader; u8 count, then of so many
 *            members u64 node id, u64 lag, u32 contact_ms, u64 index as of
 *            which its digest was compared with the leader's, u8 1: differs
 */
enum zk_frame_kind {
	ZK_KIND_RAFT = 1,
	ZK_KIND_FORWARD,
	ZK_KIND_REFUSE,
	ZK_KIND_PING,
	ZK_KIND_PONG,
	ZK_KIND_CALM,
};

#define ZK_PONG_BYTES_MAX 1024u

/* A lease that this member, as leader, has given to a session. */
struct zk_lease {
	uint64_t session;
	uint64_t until_ms;
	uint32_t timeout_ms;
	bool ending; /* its end is proposed */
	/* The question that is not answered yet: whose, and when it was sent. */
	uint64_t asker; /* 0: none */
	uint64_t sent_ms;
	uint64_t round; /* answers it; 0: one that is still to begin */
};

/*
 * What a session is called while it is being opened: random, so that no other
 * member's is the same.  Ids of sessions are log indexes, so none is one.
 */
#define ZK_TOKEN_BIT (1ull << 63)

/* Starts of the member, then sessions of one start: see store/session.h. */
#define ZK_INCARNATION_SHIFT 24

/* Set in the barriers that are ours, not those of zk_member_barrier(). */
#define ZK_ROUND_BIT (1ull << 63)

#define ZK_FORWARD_BYTES_MAX 2097152u

/* member_pace.c */
struct zk_pace {
	uint64_t calm[ZK_MEMBERS_MAX]; /* nobody waits there; 0: free */
	bool leads;
	uint64_t index;   /* of the newest entry seen */
	uint64_t last_ms; /* when it was */
	uint32_t length;  /* how many followed each other closely */
	bool applies_later, tells_later;
	uint64_t apply_ms, tell_ms; /* since when; 0: not at all */
};

struct zk_member {
	struct zk_member_options options;
	struct zk_replica *replica;
	struct zk_member_time now;
	uint64_t ticked_ms; /* Raft's clock */

	/* The session, and commands in the order of their numbers. */
	enum zk_member_state state;
	uint64_t session;
	uint64_t token; /* stands for the session while it is opened */
	uint64_t incarnation;
	bool opening;
	uint64_t last_number;
	struct zk_item_list queued;   /* not proposed or forwarded yet */
	struct zk_item_list inflight; /* with the leader, not applied here */
	struct zk_item_list waiting;  /* lock requests, applied and waiting */
	struct zk_item_list answered; /* to be told when the turn is over */
	uint64_t sent_ms;             /* when anything was forwarded last */

	/* Who had our commands; another leader gets them again. */
	uint64_t leader, leader_term;

	/* The lease of our session: last question answered, last asked. */
	uint64_t lease_from_ms, ping_ms;

	/* member_view.c: of others, the leader's; and, as leader, theirs. */
	struct zk_member_view views[ZK_MEMBERS_MAX];
	size_t view_count;
	uint64_t view_ms, view_term;
	uint64_t full[ZK_MEMBERS_MAX]; /* whose disks are full; 0: free */
	bool told_room, told_keeps;    /* what we said of ours last */
	struct zk_keeper {
		uint64_t node; /* 0: free */
		bool keeps;    /* as it said last */
	} keepers[ZK_MEMBERS_MAX];
	uint64_t yield_ms; /* last attempt to hand over for that */
	struct zk_claim {
		uint64_t node;          /* 0: free */
		uint64_t index, digest; /* what it said last */
		uint64_t compared;      /* as of that index; 0: never */
		bool differs;
	} claims[ZK_MEMBERS_MAX];

	struct zk_pace pace;
	uint32_t barriers; /* of zk_member_barrier(), under way */

	/* As leader. */
	uint64_t leading; /* the term in which the leases were given; 0: none */
	struct zk_lease *leases;
	size_t lease_count, lease_cap;
	uint64_t round;         /* the last one begun */
	uint64_t round_from_ms; /* when that was */
	bool in_round;          /* it is not over */

	/* member_roster.c, as leader. */
	uint8_t *founders; /* encoded; NULL: not known */
	size_t founders_len;
	bool roster_changed;      /* since it was looked at */
	uint64_t roster_again_ms; /* look at it again then; 0: no need */
	uint64_t founding;        /* the term in which they were proposed */
	uint64_t lead;            /* who is to lead instead; 0: nobody */
	uint64_t lead_until_ms;   /* unless that cannot be until then */
	struct zk_leaver {
		uint64_t node; /* a voter that is being let go; 0: free */
		uint64_t since_ms;
	} leavers[ZK_VOTERS_MAX];
	uint64_t lost[ZK_MEMBERS_MAX]; /* whose connections broke; 0: free */

	struct zk_member_counts counts;
	struct zk_bytes proposal[ZK_TURN_COMMANDS_MAX];
	uint8_t *frame; /* one frame to be sent */
	size_t frame_cap;
};

static inline const struct zk_raft *
zk_member_raft(const struct zk_member *m)
{
	return zk_replica_raft(m->replica);
}

static inline bool
zk_member_leads(const struct zk_member *m)
{
	return zk_member_raft(m)->role == ZK_LEADER;
}

/* A group of one member, this one. */
static inline bool
zk_member_alone(const struct zk_member *m)
{
	const struct zk_conf *conf = zk_raft_conf(zk_member_raft(m));

	return conf->count == 1 && conf->ids[0] == zk_member_raft(m)->self;
}

/* member_commands.c */
struct zk_replica_sink zk_member_replica_sink(struct zk_member *m);
void zk_member_pass_commands(struct zk_member *m);
void zk_member_finish_answers(void *arg);
/* After a turn that met a full disk, of a group of one. */
void zk_member_refuse_growth(struct zk_member *m);
void zk_member_requeue(struct zk_member *m);
/* All below this number was answered; locks that wait are in the tree. */
uint64_t zk_member_acked_below(const struct zk_member *m, uint64_t number);
int zk_member_on_forward(struct zk_member *m, uint64_t from,
    struct zk_dec *dec);
int zk_member_on_refuse(struct zk_member *m, struct zk_dec *dec);

/* member_pace.c: nobody here would notice what is late; what a peer says. */
bool zk_member_is_calm(const struct zk_member *m);
void zk_member_note_calm(struct zk_member *m, uint64_t peer, bool calm);
bool zk_member_on_commit_message(void *arg, uint64_t to);
/* Before the end of a turn; and how long to wait for the next. */
void zk_member_keep_pace(struct zk_member *m);
uint32_t zk_member_pace_wait(const struct zk_member *m);

/* member_again.c: a lock request of ours waits, and this item takes it over. */
bool zk_member_waits_already(struct zk_member *m, struct zk_item *item);

/* member_replaced.c */
void zk_member_on_replaced(void *arg);

/* member_view.c: a member says what its tree is like. */
void zk_member_note_digest(struct zk_member *m, uint64_t node, uint64_t index,
    uint64_t digest);

/* member_roster.c */
int zk_member_roster_init(struct zk_member *m, const struct zk_roster *roster);
void zk_member_on_members(void *arg, uint64_t lead);
void zk_member_tick_roster(struct zk_member *m);
void zk_member_note_peer(struct zk_member *m, uint64_t peer, bool up);
/* Leader: a command that is to be proposed; 0, or why it must not be. */
int zk_member_vet(struct zk_member *m, const struct zk_command *cmd);

/* member_view.c */
void zk_member_encode_views(const struct zk_member *m, struct zk_enc *enc);
int zk_member_decode_views(struct zk_member *m, struct zk_dec *dec);
bool zk_member_has_room(struct zk_member *m);
bool zk_member_quorum_has_room(struct zk_member *m);
void zk_member_note_room(struct zk_member *m, uint64_t node, bool room);
/* What this host, and that one, keeps; see zk_member_options. */
bool zk_member_keeps(const struct zk_member *m);
void zk_member_note_keeps(struct zk_member *m, uint64_t node, bool keeps);
const struct zk_keeper *zk_member_keeper(const struct zk_member *m,
    uint64_t node); /* NULL: not heard yet */
void zk_member_tick_room(struct zk_member *m);

/* member_session.c */
void zk_member_next_incarnation(struct zk_member *m);
void zk_member_open_session(struct zk_member *m);
void zk_member_take_session(struct zk_member *m,
    const struct zk_member_legacy *legacy);
void zk_member_session_opened(struct zk_member *m, uint64_t session);
void zk_member_tick_session(struct zk_member *m);
void zk_member_lose_session(struct zk_member *m);
int zk_member_on_ping(struct zk_member *m, uint64_t from, struct zk_dec *dec);
int zk_member_on_pong(struct zk_member *m, struct zk_dec *dec);
void zk_member_on_round(struct zk_member *m, uint64_t round, bool reached);
uint32_t zk_member_session_wait(const struct zk_member *m);

#endif
