// Everything known about one server connection, apart from its socket: what it owes, what it has been
// told, what it reported. Lives as long as the connection; a session borrows it while attached.
// Plain state; the rules that change it are in session*.cpp and proxy/pool.
#pragma once

#include "protocol/reply_tracker.hpp"

#include "proxy/policy/incarnation.hpp"
#include "proxy/policy/recovery_verdict.hpp"
#include "proxy/session/reported.hpp"
#include "proxy/session/settings.hpp"
#include "proxy/session/statements.hpp"
#include "proxy/session/transaction_journal.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace pgsteady {

/// What the session wants to remember about a reply that is owed. One note per injected, noted or local entry
/// of the tracker, in the same order.
struct reply_note {
    enum class about : std::uint8_t {
        nothing,           ///< injected, and its outcome is of no interest
        client_parse,      ///< a named Parse of the client was forwarded
        cached_parse,      ///< a named Parse of the client is answered by us
        client_unnamed,    ///< an unnamed Parse of the client, behind other messages of its segment
        client_close,      ///< a Close of a named statement
        injected_parse,    ///< we prepared a statement that the client's next message needs
        injected_unnamed,  ///< we prepared the client's unnamed statement again
        restore,           ///< settings were brought to the client's
        truth,             ///< the server was asked for the values of settings
        execute,           ///< an Execute of a statement with effects
        query,             ///< a Query with effects
        plain_query,       ///< one without, that destroys the client's unnamed statement
        order,             ///< a statement of ours that the client's next one needs
        proof,             ///< the catalogue was asked whether a statement only reads
        listening,         ///< a new server was asked to listen to the client's channels
        moved_channels,    ///< it was asked to listen, or not to listen any more, to what the shared listener has
        capture,           ///< the open transaction's number and a WAL position were asked for (recovery.md 2.6)
        in_doubt,          ///< a primary was asked what became of a transaction
        maintenance,       ///< no client attached: reset, probe or barrier
    };
    about what = about::nothing;
    std::string name;  ///< the client's name of a statement
    statement_ptr statement;
    statement_ptr previous;  ///< what the name meant before
    effects_ptr effects;
    std::uint64_t token = 0;       ///< identity of an unnamed statement
    bool had_before = false;       ///< the server had the statement already; a Close went before the Parse
    bool in_front = false;         ///< of what is a segment of our own, in front of the client's Query
    std::uint64_t link_token = 0;  ///< which one the server held before
    std::string unnamed_tail{};    ///< of a Query: the unnamed statement that it destroys, token being its identity
    effects_ptr unnamed_effects{};
};

/// What is known of the open transaction in case its COMMIT is lost (recovery.md 2.6).
struct transaction_trace {
    bool wrote = false;       ///< a tag says that it may have
    bool notifies = false;    ///< it gets its number at COMMIT unless it is given one before [E7]
    bool asked = false;       ///< the capture has been sent
    bool flushed = false;     ///< and the server will say it without being sent more
    bool unassigned = false;  ///< the server said that it has no number
    /// The first request without an answer is one that its Sync commits, and was asked for its number before (D33).
    bool gated = false;
    std::uint64_t xid = 0;  ///< 0: not captured
    std::uint64_t marker = 0;
};

struct server_link {
    // identity, read at connect
    std::int32_t backend_pid = 0;
    std::string cancel_key;
    std::string backend_name;  ///< host:port
    int server_version_num = 0;
    std::string started_at;            ///< pg_postmaster_start_time(), part of the incarnation
    std::int64_t backend_started = 0;  ///< pg_stat_activity.backend_start in microseconds; 0: not known
    std::size_t host = 0;              ///< index in the cluster's list
    bool standby = false;              ///< it was in recovery when the connection was opened
    bool read_only_default =
        false;  ///< default_transaction_read_only was on at sign-in: the role's own, or the server's
    bool serializable_default = false;  ///< default_transaction_isolation was SERIALIZABLE then, or nobody knows
    std::uint32_t timeline = 0;         ///< of a primary, at connect; 0: not known
    incarnation life;                   ///< of a primary; a connection does not outlive it
    bool may_capture = false;           ///< the server can say and remember what a capture asks for
    std::string capture_problem;        ///< why not
    bool may_rewrite = false;  ///< no rules stand behind its tables, so that a Query may be sent as Parse and Execute

    // conversation
    reply_tracker tracker;
    std::deque<reply_note> notes;
    char transaction_status = 'I';
    std::string kept_requests;        ///< client frames not yet answered by ReadyForQuery, if they fit (D13)
    bool kept_complete = true;        ///< false: something was too large to keep
    bool unkept_commit = false;       ///< and that may be a COMMIT
    std::uint32_t kept_answered = 0;  ///< ReadyForQuery that the client has got since the first of them was kept
    transaction_journal journal;      ///< what of them belongs to the open transaction, once it is answered
    std::uint32_t journal_from = 0;   ///< so many of the answered requests in kept_requests precede that transaction
    transaction_trace trace;          ///< of the open transaction
    std::size_t frame_left = 0;       ///< bytes of a large server frame still to come
    bool frame_forward = false;       ///< whether they go to the client

    // what it has been told
    settings_ptr applied;  ///< beyond its login defaults
    server_statements prepared;
    std::uint64_t names_of = 0;       ///< whose own names `prepared` may have (session::names_token_); 0: nobody's
    bool names_uncertain = false;     ///< it may hold statements that `prepared` does not list: Close before Parse
    std::uint64_t unnamed_token = 0;  ///< which client's unnamed statement it holds; 0: nobody's
    std::uint64_t only_client = 0;    ///< the one session that has used it so far (D15)
    bool used_by_others = false;      ///< more than one session has
    std::uint64_t notifier = 0;      ///< the listening session that all its notifications are from now; 0: nobody knows
    bool own_settings_lost = false;  ///< settings of ours (own_settings.hpp) have perhaps been reset

    // what it said
    reported_ptr reported;
    reported_ptr shown_of;  ///< of a standby: what a client is told instead of these values
    reported_ptr shown;
    recovery_verdict verdict;        ///< how the connection is ending, once it is
    bool committed_locally = false;  ///< cut short in its wait for a standby: what it was committing is committed
    bool took_leave = false;         ///< its last words are PostgreSQL's own: nothing that it said before is missing
    std::string last_words;          ///< severity, SQLSTATE and message of a FATAL or a class 57 notice

    /// What it does for the client that has it.
    [[nodiscard]] failure_phase doing() const {
        if (transaction_status != 'I') return failure_phase::transaction;
        return tracker.client_readies_owed() > 0 ? failure_phase::statement : failure_phase::unsent;
    }
    /// Nothing is owed and no transaction is open.
    [[nodiscard]] bool at_rest() const {
        return tracker.empty() && !tracker.skipping() && transaction_status == 'I' && frame_left == 0 &&
               !tracker.ambiguous();
    }
};

}  // namespace pgsteady
