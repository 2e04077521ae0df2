// One client's conversation, from AuthenticationOk to its end: decides, for every byte from the client
// and from the server it is attached to, what is written where. Bytes, ends and timers go in; output
// and actions come out. Knows no socket, no clock, no thread; owned by the shell that has the socket.
//
// The story: detached -> (first message of a request) wants a server -> attached: settings are brought
// to the client's, messages flow both ways, every reply is accounted for -> ReadyForQuery at rest:
// released. Pinned sessions keep their server.
//
// Bodies, session*.cpp: life; _request and _extended: client messages; _prepare: SQL PREPARE; _reply: server messages; _ledger: settings; _loss: a
// lost server, failed transactions, our own errors; _retry: sending again; _doubt: COMMITs whose answer is lost; _gate: writes
// outside of transactions, the same; _routing: reads without a primary; _listen; _notify: LISTEN shared; _replay; _resume.
#pragma once

#include "protocol/error_response.hpp"
#include "protocol/startup.hpp"
#include "protocol/token_scan.hpp"

#include "config/config.hpp"

#include "proxy/policy/cluster_view.hpp"
#include "proxy/policy/end_reason.hpp"
#include "proxy/policy/failure.hpp"
#include "proxy/policy/in_doubt.hpp"
#include "proxy/policy/retry_schedule.hpp"
#include "proxy/policy/server_need.hpp"
#include "proxy/session/commit_proof.hpp"
#include "proxy/session/gather.hpp"
#include "proxy/session/listening_state.hpp"
#include "proxy/session/local_wishes.hpp"
#include "proxy/session/recovery_plan.hpp"
#include "proxy/session/server_link.hpp"
#include "proxy/session/session_reports.hpp"
#include "proxy/sql/catalogue_facts.hpp"
#include "proxy/sql/effects_cache.hpp"
#include "proxy/sql/read_proof.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

namespace pgsteady {

/// What all sessions of one worker share. Written and read by that worker alone.
struct session_tables {
    explicit session_tables(unsigned worker);

    settings_table settings;
    reported_table reported;
    statement_store statements;
    effects_cache effects;
    /// A question of ours that is prepared once per server; `frames`: the Bind, Execute and Close that put it.
    struct question {
        statement_ptr statement;
        std::string frames;
    };
    question capture;         ///< asks for the open transaction's number, if it has one (recovery.md 2.6)
    question forced_capture;  ///< gives it one: it has sent notifications
    /// If set, is given every statement text that is sent, secrets taken out (DB_ECHO).
    std::function<void(std::int32_t client_pid, std::string_view text)> on_statement;
    /// If set, gives a refusal of the session's own its incident number, under which `why` stands in the log.
    std::function<std::string(std::int32_t client_pid, std::string_view why)> incident;
    /// If set, is asked before anything that was sent is sent again: the retry budget (recovery.md 2.11).
    std::function<bool()> may_retry;
    journal_budget journals;  ///< of all open transactions (replay.max_total)
    gather to_client;         ///< output of the event being handled; flushed by the shell right after it
    gather to_server;
    std::vector<settled_reply> settled_room;  ///< of process_settled(), so that it needs no new one each time
    std::uint64_t next_token;  ///< identities of unnamed statements and sessions, unique among all workers
};

enum class session_mode : std::uint8_t { session, transaction, statement };

/// What became of a COMMIT whose answer was lost.
struct in_doubt_report {
    commit_capture captured;
    in_doubt_facts facts;
    in_doubt_judgement found;
    std::string incident;
};

/// What all sessions of one pool share on one worker.
struct pool_facts {
    session_mode mode = session_mode::transaction;
    std::size_t prepared_bytes = 4 * 1024 * 1024;  ///< per server connection
    std::size_t keep_bytes = 64 * 1024;            ///< requests kept until ReadyForQuery (D13)
    std::size_t journal_bytes = 1024 * 1024;       ///< of the open transaction's requests (replay.max_transaction)
    std::size_t session_bytes = 16 * 1024 * 1024;  ///< what one client may make us remember
    std::size_t max_channels = 1024;               ///< of LISTEN; with more, losing the server ends the session
    bool shares_listen = false;                    ///< LISTEN needs no server of the client's own (pool.shared_listen)
    std::size_t notification_bytes = 1024 * 1024;  ///< queued for one client that is busy
    std::uint32_t max_message = frame_length_limit_default;
    bool pin_opaque = false;                      ///< CALL pins (D12)
    service_mode service = service_mode::normal;  ///< of the pool's cluster, as this worker knows it
    bool only_standbys = false;  ///< all its hosts are, and nothing is to be made of that: they get whatever comes (D1)

    // Recovery. All of it is looked at after a failure only, but for retry.result_hold.
    bool recovers = true;  ///< the kill switch `recovery.enabled`
    bool replays = false;  ///< interrupted transactions are given again (replay.enabled, and all that it needs)
    std::uint32_t replay_attempts = 5;
    /// Once for each interrupted transaction that was not given again, or not to its end: what the client is told.
    std::function<void(const error_fields& told)> not_replayed;
    bool replays_together = false;  ///< what was under way in them waits for pass_barrier() (D30)
    bool guards = true;             ///< proven reads are sent again under READ ONLY (D20)
    catalogue_facts catalogue;      ///< what proofs have learned; its time is set by its owner
    /// A number that grows with every change of the database's schema that anybody's session has seen. Empty: always 0.
    std::function<std::uint64_t()> schema_version;
    config::retry_settings retry;  ///< attempts, conflicts, result hold (D26)
    /// How many crashes of a server, of late, one of these statements was the only victim of (D25). Empty: nobody knows.
    std::function<std::uint32_t(std::span<const std::uint64_t> fingerprints)> crashes_of;
    std::chrono::milliseconds hold_timeout{30'000};
    bool strict_sync = false;  ///< what may not have reached a synchronous standby is not answered as committed (E3a)
    // COMMITs whose answer is lost (recovery.md 2.6).
    bool resolves = false;  ///< the switches `replay.enabled` and `replay.in_doubt`
    std::chrono::milliseconds in_doubt_timeout{15'000};
    config::autocommit_guard guards_autocommit = config::autocommit_guard::off;  ///< off unless `resolves`
    bool rules_made = false;  ///< since its servers were asked for some (server_link::may_rewrite)
    /// Adds what the monitor has seen to what a server has said: inherited, two_primaries. Empty: nothing is known.
    std::function<void(in_doubt_facts& facts, const commit_capture& captured)> observe;
    std::function<void()> resolving;
    std::function<void(const in_doubt_report& what)> resolved;  ///< once for each `resolving`
    /// The system identifier of a host, as far as it is known.
    std::function<std::string(std::size_t host)> system_of;
    /// A capture has failed: with this SQLSTATE, or with an answer that makes no sense. None is tried again on this link.
    std::function<void(std::string_view sqlstate)> capture_failed;
    /// A server of this pool has refused to write lately, and the monitor found it to be the primary: the role is read-only
    /// by its own settings, and nobody waits for the same news again (D21).
    bool read_only_by_itself = false;

    /// Settings that a server of this pool has accepted, and what it then reported (P34: refreshed at each restore).
    struct accepted {
        settings_ptr settings;
        reported_ptr reported;
    };
    std::unordered_map<const settings*, accepted> known;

    static constexpr std::size_t known_max = 1024;
    static constexpr std::uint32_t frame_length_limit_default = 0x40000000;
};

class session {
public:
    session(session_tables& tables, pool_facts& pool, std::int32_t client_pid, std::string client_key);
    ~session();
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    // Events. Each may leave output in the tables' gathers and actions in take_actions().
    void begin(const parameter_list& startup);
    /// Returns how many bytes are used up; the rest must be offered again, with more behind it or after on_server().
    std::size_t on_client_bytes(std::string_view in);
    std::size_t on_server_bytes(std::string_view in);
    void on_server(server_link& link);
    /// The wait for a server ended without one: the request at the head of the client's input, when it is
    /// offered again, is answered with `why`, and the client stays. At sign-in it ends the session.
    void refuse_waiting(const error_fields& why);
    /// The attached server is gone. `last_words`: what it said at the end; `incident` names it in log and error.
    void on_server_lost(std::string_view last_words, std::string_view incident);
    /// It gives an interrupted transaction again, or waits to do so.
    [[nodiscard]] bool replaying() const { return replaying_; }
    /// What was under way in an interrupted transaction, or has been asked in it since, may be sent. What was not taken is
    /// then offered again.
    void pass_barrier() { behind_barrier_ = false; }
    /// It waits for that, or will have to.
    [[nodiscard]] bool behind_barrier() const { return behind_barrier_; }
    /// What its server says now need not be taken yet: it is said within a transaction that would be given again, what has been
    /// taken of it could be continued, and it is no COMMIT's answer.
    [[nodiscard]] bool may_hold_answer() const;
    /// That, and were its server lost now, all of its transaction would be given again, and as far as its texts tell with the
    /// same answers: nothing stands in the way.
    [[nodiscard]] bool may_give_way() const;
    /// It gives a transaction again, or waits for the barrier: its client waits for an answer, so there is something to cancel. `input`: how much of the
    /// client's input was not taken, what was taken back included.
    [[nodiscard]] bool is_awaited(std::size_t input) const;
    /// While it does: the incident in which the transaction was interrupted.
    [[nodiscard]] std::string_view replay_incident() const;
    /// What the client had, at the latest loss, of the answer that was to be continued.
    [[nodiscard]] std::uint64_t resumed_rows() const { return extra_ != nullptr ? extra_->resumed_rows : 0; }
    /// The COMMIT that comes next when requests are taken again is known not to have been carried out, and to stay so: its
    /// transaction is given again, and then it. False: that cannot be done, and nothing has changed. Not from within
    /// on_client_bytes(); then take_actions().
    [[nodiscard]] bool replay_then_commit();
    /// That takes too long, or may not be done: the client is told that its transaction is lost, since it `why` (R04).
    void give_up_replay(std::string_view why);
    /// Whether the server that refused to write is the primary no more (D21). What was not taken is then offered again.
    void on_role(bool changed);
    /// It takes nothing from its server before on_role().
    [[nodiscard]] bool awaits_role() const { return role_ == role_question::asked; }
    /// The client has left: what becomes of the server is in the actions.
    void on_client_gone();
    /// Ends the session with a FATAL error.
    void end(const error_fields& why, end_reason reason);

    [[nodiscard]] session_actions take_actions();
    /// Requests of the client that have to be offered again, before anything else.
    [[nodiscard]] std::string take_requests_back();
    /// The unfinished result goes to the client.
    void release_result();
    /// It has been kept back for long enough (retry.result_hold_time).
    void end_result_hold() {
        if (!awaits_only_commit()) release_result();
    }
    // LISTEN on a connection that clients share (D18).
    /// What the shared listener is to listen to for this client.
    [[nodiscard]] const std::set<std::string>& shared_channels() const;
    /// After sync_listener: it has. `why`: it cannot, which is told to a client that waits for its LISTEN.
    void on_listener(const error_fields* why);
    /// sync_listener was for a channel that the client has not been told of yet.
    [[nodiscard]] bool awaits_channel() const { return extra_ != nullptr && !extra_->listening.offered.empty(); }
    /// NotificationResponse, whole. `may_write`: the client takes what it is sent; else it is queued, within limits.
    void on_shared_notification(std::string_view frame, bool may_write);
    /// The shared listener had to be connected anew.
    void on_notifications_missed(std::string_view incident, bool may_write);
    /// The client takes what it is sent again.
    void deliver_if_idle();
    /// After listen_later: the pause is over.
    void resume_listening() { want_listening(); }
    /// After ask_later: the pause is over. What was not taken is then offered again.
    void resume_resolving() { resolving_ = resolving::no; }
    /// What applies to a statement that is sent again: the pool's limits, lowered by SET and SET LOCAL pgsteady.* (D40).
    [[nodiscard]] retry_limits limits() const;
    /// Something that was sent is to be sent again, or to be answered in its turn.
    [[nodiscard]] bool redoing() const { return redoing_; }
    [[nodiscard]] bool keeps_result_back() const { return extra_ != nullptr && !extra_->withheld.empty(); }
    /// There is something to report: a cheap look, since mostly there is nothing.
    [[nodiscard]] bool reports() const { return report_.requests != 0 || report_.seldom; }
    /// Errors and tags of a request stay until it is finished.
    [[nodiscard]] request_report take_report();
    /// While it is on, the texts of requests that are completed are at hand (log.slow_statement): turned on by who knows
    /// that the one in progress is slow, so that others cost nothing.
    void remember_texts(bool on) { remembering_texts_ = on; }
    /// What they executed, as their clients wrote it; empty if it is not known.
    [[nodiscard]] std::string take_texts();

    // State, for the shell, status and tests.
    [[nodiscard]] server_link* link() const { return link_; }
    [[nodiscard]] bool waiting() const { return waiting_; }
    /// What the server that it asks for, or waits for, has to be.
    [[nodiscard]] server_need need() const { return need_; }
    /// It still waits, and what it would ask for now may be another: the cluster's mode has changed. `in`: what it was
    /// last offered and did not take.
    void reconsider(std::string_view in);
    [[nodiscard]] bool ready() const { return phase_ == phase::ready; }
    [[nodiscard]] bool ended() const { return phase_ == phase::ended; }
    [[nodiscard]] std::uint32_t pins() const { return pins_; }
    /// Nothing is owed to the client and it is in no transaction: may be ended politely.
    [[nodiscard]] bool idle() const;
    [[nodiscard]] bool in_transaction() const;
    /// Fingerprints of the statements that have been sent and have no answer yet.
    [[nodiscard]] std::vector<std::uint64_t> statements_in_flight() const;
    /// What the server runs for this client may be committing by now: a cancel could make that visible before it is
    /// replicated (T7).
    [[nodiscard]] bool may_be_committing() const;
    /// The server runs something for this client (a cancel makes sense).
    [[nodiscard]] bool busy() const { return link_ != nullptr && link_->tracker.client_readies_owed() > 0; }
    [[nodiscard]] std::int32_t client_pid() const { return client_pid_; }
    [[nodiscard]] const std::string& client_key() const { return client_key_; }
    [[nodiscard]] const settings_ptr& desired() const { return desired_; }

private:
    enum class phase : std::uint8_t { welcoming, ready, ended };
    struct redo;
    enum class taken : std::uint8_t { yes, wait };  // a frame was handled, or must be offered again

    struct client_frame {
        char type;
        std::string_view bytes;  // as much of the frame as has arrived, header included
        std::size_t total;
        [[nodiscard]] bool whole() const { return bytes.size() == total; }
        [[nodiscard]] std::string_view body() const { return bytes.substr(frame_header); }
        static constexpr std::size_t frame_header = 5;
    };

    // session.cpp
    void welcome();
    void try_welcome();
    void detach(session_actions::release how);
    void release_if_at_rest();
    void wait_for_server();

    // session_request.cpp
    std::size_t pass_large_frame(std::string_view in);
    taken take_frame(const client_frame& frame);
    taken take_detached(const client_frame& frame);
    server_need judge_need(const client_frame& frame, bool& known) const;
    bool offered_request(sent_request& out, bool& known) const;
    server_need need_to_welcome() const;
    bool only_reads(std::string_view text) const;
    std::string refused_word(const client_frame& frame) const;
    taken take_attached(const client_frame& frame);
    taken dispatch(const client_frame& frame);
    taken on_query(const client_frame& frame);
    taken on_function_call(const client_frame& frame);
    taken on_copy(const client_frame& frame);
    taken on_sync(const client_frame& frame);
    bool ready_to_send();
    void send(const client_frame& frame);
    void keep(std::string_view bytes);
    void note_unkept(std::string_view frame);
    void file_kept(char status);
    void skip_rest_of(const client_frame& frame, bool forward);
    void violation(std::string message);
    taken on_large_query(const client_frame& frame);
    void pin(std::uint32_t reasons);
    void echo(std::string_view text) const;
    bool within_memory(std::size_t more);
    taken wait_for_answers();
    bool note_plain_query();
    void note_query(reply_note::about what, const effects_ptr& effects);
    effects_ptr note_hits(std::string_view text, token_hits hits);
    bool refuses_sequence_value(const statement_effects& effects) const;
    void finish_large_query();
    void forget_unnamed();

    // session_extended.cpp
    taken on_parse(const client_frame& frame);
    taken on_parse_named(const client_frame& frame, std::string_view name, std::string_view tail);
    taken on_parse_unnamed(const client_frame& frame, std::string_view tail);
    bool note_unnamed();
    taken on_bind(const client_frame& frame);
    [[nodiscard]] bool binds_plainly(const prepared_statement& statement);
    taken bind_plainly(const client_frame& frame, std::string_view portal, std::string_view name,
                       const prepared_statement& statement);
    void put_bind_head(std::size_t size, std::string_view portal, const prepared_statement& statement);
    std::size_t take_portal_messages(const client_frame& bind);
    taken on_describe(const client_frame& frame);
    taken on_execute(const client_frame& frame);
    taken on_close(const client_frame& frame);
    void inject_parse(const statement_ptr& statement);
    void inject_unnamed();
    void evict_statements();
    void forward_parse(std::string_view server_name, std::string_view tail);
    void ensure_unnamed();
    bool names_unsettled() const;
    bool unnamed_unsettled() const;
    void inject_close(std::string_view name, reply_note note = {});
    statement_ptr make_statement(std::string_view name, std::string_view tail, const effects_ptr& effects);
    statement_ptr find_statement(std::string_view name) const;
    void remember_portal(std::string_view portal, const effects_ptr& effects);
    void forget_name(std::string_view name);

    // session_prepare.cpp
    bool may_follow_prepare(const statement_effects& effects) const;
    void remember_prepared(const statement_effects& effects);
    void drop_names_of_others();
    void forget_own_names();
    std::vector<statement_ptr> own_missing(const statement_effects& effects) const;
    void bring_own(const std::vector<statement_ptr>& missing);
    void bring_in_front(const std::vector<statement_ptr>& missing);
    bool is_order_error(std::string_view frame);
    void inject_prepare(const statement_ptr& statement);
    void inject_order(std::string_view sql, const statement_ptr& makes);
    void inject_sync();
    void own_executed(const effects_ptr& effects);
    std::vector<std::string> names_to_lend(const statement_effects& effects) const;
    static bool executes(const statement_effects& effects, std::string_view name);
    void lend_names(const std::vector<std::string>& names, const statement_effects& effects);
    void inject_placeholder(std::string_view name);
    void take_names_back(const std::vector<std::string>& names);
    void take_lent_back();

    // session_reply.cpp
    void on_reply(char type, std::string_view frame);
    void on_parameter_status(std::string_view frame, bool forward);
    void on_command_complete(std::string_view body);
    void note_schema_change();
    void on_error_reply(std::string_view frame, bool forward);
    void on_read_only_error(std::string_view frame, error_fields& fields);
    void on_ready_frame(std::string_view frame, bool forward);
    void settle_transaction(char status);
    void finish_request(char status);
    void remember_finished_texts();
    bool is_farewell(std::string_view body);
    void note_failing_parse();
    void note_unnamed_gone();
    void set_unnamed(std::string_view tail, const effects_ptr& effects, std::uint64_t token, std::uint64_t link_token);
    void on_notification(std::string_view frame);
    bool request_resets() const;
    void name_as_client(error_fields& fields) const;
    void on_injected_frame(char type, std::string_view body);
    void process_settled();
    void settle(const reply_note& note, outcome how);
    void undo(const reply_note& note);
    void server_violation();

    // session_ledger.cpp
    bool restore_needed() const;
    bool restore();
    void on_restored(outcome how);
    void sync_reported();
    const reported_ptr& shown();
    void apply_effects(const statement_effects& effects);
    void apply_settings(const statement_effects& effects);
    void apply_partly(const statement_effects& effects);
    void forget_deallocated(const statement_effects& effects, std::size_t completed);
    std::uint32_t pins_of(const statement_effects& effects, bool whole) const;
    std::string_view client_encoding() const;
    void change_setting(const std::string& name, std::optional<std::string> value, bool reset);
    void transaction_ended(bool committed);
    void follow_settings(const statement_effects& effects);
    void note_setting_mark(const transaction_step& said);
    void note_mark_tag(bool savepoint);
    void forget_setting_marks();
    bool learn_from_reports();
    void note_local_wishes(const statement_effects& effects);
    void settle_local_wishes(char status);
    void ask_truth();
    void on_truth(outcome how);
    void forget_statements();

    // session_listen.cpp
    bool follows_savepoints() const;
    void note_channels(const statement_effects& effects);
    void note_savepoint(const statement_effects& effects);
    void note_savepoint_tag(bool savepoint);
    void end_listening_pin();
    void count_listening_pin();
    void settle_channels(char before, char status);
    void apply_channels(bool shares);
    void limit_channels(std::size_t followed);
    void forget_channels();
    void settle_pins(bool committed);
    std::uint32_t pins_that_are_lost();
    void want_listening();
    void listen_again();
    void on_listening(outcome how);

    // session_notify.cpp
    bool may_share(char before, char status) const;
    void share(const std::string& channel);
    void stop_sharing(const std::string* channel);
    bool hold_for_listener();
    bool asks_listener_first();
    void show_channels(std::string_view text);
    void listen_here(std::string_view statement, const std::set<std::string>& channels);
    bool is_shared(std::string_view notification) const;
    bool may_deliver() const;
    void queue_for_client(std::string_view frames, bool may_write);
    void deliver_notifications();

    // session_retry.cpp
    taken take_again(const client_frame& frame, bool& decided);
    void taken_again(std::size_t bytes);
    void begin_guard();
    bool end_guard();
    void confine();
    bool prove();
    void begin_proof(const statement_class& text);
    void on_proof(outcome how);
    void refute(const error_fields& why);
    void withhold_poison(redo& front);
    [[nodiscard]] std::vector<std::uint64_t> fingerprints(std::string_view frames, std::uint32_t answered) const;
    void schedule(const recovery_plan& plan, std::string_view words, std::string_view incident);
    error_fields lost_transaction_error(std::string_view obstacle, std::string_view incident);
    error_fields fate_error(request_fate fate, std::string_view words, std::string_view incident);
    [[nodiscard]] std::string number_of_unreplicated() const;
    const settings_ptr& target() const;
    void restore_names();
    void forget_name_changes();
    void hold_result(std::size_t complete);
    void discard_result();
    bool repeat_conflict(char status);
    bool waits_for_role(std::string_view frame);
    bool refuses_writes_itself() const;

    // session_resume.cpp
    /// Of the client's answer: it goes to the client, unless that has had it before.
    void show(std::string_view frame) {
        if (!(digesting_ || muted_) || counts(frame)) tables_.to_client.view(frame);
    }
    std::size_t show_rows(std::string_view row, std::string_view behind);
    bool counts(std::string_view bytes);
    bool shows_error(std::string_view sqlstate);
    bool goes_on();
    void note_delivered();
    void follow(std::string_view shown);
    void stop_following();
    [[nodiscard]] bool resumes_next() const;
    bool begin_resume(redo& front);
    [[nodiscard]] bool holds_back_behind_resume() const;
    void notice_short_answer();
    void note_resumed();
    void fail_resume();
    bool refuse_resume();
    // session_replay.cpp
    void judge_replay(loss_facts& facts) const;
    bool wants_replay() const;
    void note_gone(const std::string& name, const statement_ptr& statement);
    void note_names(std::vector<std::string> made, char status);
    void forget_transaction_names();
    void names_as_of_begin();
    void keep_journal(std::string_view incident);
    void begin_replay();
    void put_journal_in_front(std::size_t bytes_taken);
    void replay_anew(std::string_view words, std::string_view incident);
    taken take_replay(redo& front, bool& decided);
    bool replay_differs() const;
    void finish_replayed_request();
    enum class replay_end : std::uint8_t { different, failed };
    void fail_replay(const error_fields& why, replay_end how = replay_end::failed);
    bool replay_at_stake() const;
    // session_chain.cpp
    std::optional<std::string> opening_of_transaction() const;
    void remember_opening();
    bool ends_in_chain() const;
    void begin_journal_anew(const std::optional<std::string>& opening);
    void end_with_chain();
    bool open_chain();
    // session_doubt.cpp
    void note_write(std::string_view tag);
    void capture_before(const client_frame& frame);
    bool may_capture() const;
    void capture_before_commit(bool inside);
    void inject_capture(std::string_view end);
    bool is_capture_error(std::string_view frame);
    void take_captured(std::string_view body);
    void on_captured(const reply_note& note, outcome how);
    [[nodiscard]] bool can_resolve() const;
    [[nodiscard]] bool asks_about_commit() const;
    void begin_resolving(redo& front, std::string_view words, std::string_view incident);
    void resolve();
    void on_resolved(outcome how);
    void give_up_resolving();
    void conclude_resolving(const in_doubt_facts& facts, const in_doubt_judgement& found);
    void conclude_commit(redo& front, in_doubt_outcome found);
    void conclude_followers();
    // session_gate.cpp
    [[nodiscard]] bool may_gate() const;
    void ask_number();
    void end_segment() { segment_open_ = segment_writes_ = segment_gated_ = false; }
    [[nodiscard]] bool pass_gate();
    [[nodiscard]] bool gates_query(std::string_view text, token_hits hits) const;
    taken send_gated_query(const client_frame& frame, std::string_view text);
    void send_held_sync();
    void hold_of_query(char type, std::string_view frame);
    void show_held();
    [[nodiscard]] bool awaits_only_commit() const;
    void keep_gated_answer();
    void conclude_gated(redo& front, in_doubt_outcome found);
    void answer_gated(const client_frame& frame);
    void adopt_parse(const client_frame& frame);

    // session_loss.cpp
    bool recover_requests(bool settled, std::string_view words, std::string_view incident);
    recovery_plan make_plan(const std::vector<sent_request>& sent, char status);
    loss_facts facts_of_loss(const std::vector<sent_request>& sent, char status) const;
    bool unanswered(std::vector<sent_request>& sent) const;
    bool copy_is_over() const;
    statement_text text_lookup() const;
    void finish_told_request(std::vector<sent_request>& sent);
    bool is_done(const sent_request& first, bool followed) const;
    bool finish_done_request(std::vector<sent_request>& sent);
    commit_judgement judge_commit(const sent_request& first) const;
    std::string answered_in_transaction() const;
    bool texts_of_transaction(std::vector<std::string>& texts) const;
    commit_judgement judge_open_transaction() const;
    bool end_lost_reader();
    void keep_chosen_settings();
    void answer_bluntly(std::string_view words, std::string_view incident);
    taken take_in_lost_transaction(const client_frame& frame);
    taken answer_lost_query(const client_frame& frame);
    bool answer_lost_parse(const client_frame& frame);
    bool note_lost_end(std::string_view text);
    void answer_lost_execute();
    taken refuse(const client_frame& frame, const error_fields& why);
    std::string incident_of(std::string_view why) const;
    void emit_error(const error_fields& why);
    void emit_ready(char status);
    void emit_empty(char type);
    struct answers {
        std::size_t readies = 0;
        bool open = false;
    };
    answers answers_owed() const;
    std::string_view text_of_statement(std::string_view in) const;
    bool commit_was_sent() const;

    session_tables& tables_;
    pool_facts& pool_;
    server_link* link_ = nullptr;

    phase phase_ = phase::welcoming;
    bool waiting_ = false;
    bool claimed_ = false;           // a server was given for a request that has not been taken yet
    bool segment_open_ = false;      // extended messages sent, Sync not yet (D17)
    bool skip_to_sync_ = false;      // we answered an error ourselves: discard until Sync
    bool restoring_ = false;         // settings are being brought over and the outcome is awaited
    bool refused_ = false;           // the next request is answered with extra::refusal
    bool lost_transaction_ = false;  // the transaction died with its server; the client has yet to end it
    bool lost_unannounced_ = false;  // and has yet to be told
    bool lost_ends_ = false;         // the statement parsed last in it is ROLLBACK or COMMIT
    bool lost_chains_ = false;       // AND CHAIN
    bool lost_commits_ = false;      // its end is a COMMIT that is as good as done
    bool chained_ = false;           // AND CHAIN has been answered here: the next server is to open extra::chain first
    bool error_in_request_ = false;  // since the last ReadyForQuery
    bool remembering_texts_ = false;
    bool delivered_ = false;      // something of the current request reached the client
    bool touched_ = false;        // the ledger changed in the open transaction
    bool perhaps_kept_ = false;   // and a COMMIT stood in the same string: losing the server may not undo it
    bool uncertain_ = false;      // and only the server knows to what
    bool has_wishes_ = false;     // extra::wishes is about the open transaction
    bool wishes_unsure_ = false;  // it was rolled back, perhaps to a savepoint; the text has not been looked at
    bool forward_large_ = false;  // the large client frame in passage goes to the server
    bool large_is_query_ = false;
    bool schema_touched_ = false;    // by the open transaction, or the request at hand
    char last_tag_ = 0;              // 'C'ommit, 'R'ollback or 0: what the last tag was
    bool committed_within_ = false;  // a COMMIT has completed since the last ReadyForQuery
    bool began_within_ = false;      // a BEGIN has, and nothing that ends its block
    bool sequence_used_ = false;     // since this server was attached: currval and lastval are this client's own
    bool resets_ = false;            // the request in progress sets settings back to defaults
    bool ready_held_ = false;        // its ReadyForQuery waits until the client's startup values are back (D16)
    bool flush_sent_ = false;        // and the server has been asked for the replies it holds back
    bool digesting_ = false;         // the answer at hand is hashed
    bool following_ = false;         // since a part of it was delivered, outside of any transaction (2.3)
    bool muted_ = false;             // and does not go to the client: it has had it before
    bool replaying_ = false;         // its transaction is being given again
    bool behind_barrier_ = false;    // see pass_barrier()
    bool resuming_ = false;          // a part of the answer at hand has been delivered before
    bool differs_ = false;           // and it turned out to be another
    bool redoing_ = false;           // requests that were taken back are being taken again
    bool guarding_ = false;          // the server is to be, or is, under the READ ONLY guard (D20)
    bool confined_ = false;          // nobody is to write, and this server could: it has extra_->guarded (2.13)
    bool proving_ = false;           // the catalogue is asked whether a statement only reads
    enum class resolving : std::uint8_t { no, asked, pausing };
    resolving resolving_ = resolving::no;  // a primary is asked what became of a COMMIT
    bool unnamed_commits_ = false;         // the client's unnamed statement is COMMIT
    bool unnamed_writes_ = false;          // it is INSERT, UPDATE, DELETE or MERGE, and nothing else
    bool segment_writes_ = false;          // one of these has been bound in the open segment
    bool segment_gated_ = false;           // whose number has been asked for already (D33)
    bool rewritten_ = false;               // the first request without an answer is a Query, sent as Parse and Execute
    bool sync_held_ = false;               // whose Sync the server is to get once the number is here
    server_need need_ = server_need::primary;
    bool needs_primary_ = false;  // the request at hand was refused by a standby, or by what has become one
    enum class role_question : std::uint8_t { none, asked, unchanged, changed };
    role_question role_ = role_question::none;  // of a server that has just refused to write
    bool moved_ = false;                        // the request at hand has been sent to a new primary for that, once
    std::string_view offered_;                  // inside on_client_bytes(): from the frame at hand on
    bool taking_ = false;                       // inside on_client_bytes()
    std::size_t taken_along_ = 0;               // the same: of what lies behind the frame at hand
    bool client_flushed_ = false;               // it wants what there is of the segment's answer
    bool copying_out_ = false;                  // the answer at hand is COPY data
    bool conflict_ = false;                     // the request was rolled back by 40001 or 40P01, and will be sent again
    std::uint32_t attempts_ = 0;                // how often the request at hand was sent again
    std::size_t complete_at_ = 0;               // where in the output of this event the last complete answer ends
    std::uint64_t rows_ = 0;                    // of the answer at hand
    std::uint64_t copied_ = 0;                  // bytes of COPY data
    std::uint32_t names_pending_ = 0;           // messages that change the client's names, outcome not known yet
    std::uint32_t effects_pending_ = 0;         // statements with effects whose outcome is not known yet
    std::uint32_t completed_ = 0;               // statements of the Query in progress that have completed
    std::uint32_t pins_ = 0;
    std::uint32_t pins_of_transaction_ = 0;  // those of them that go with the open transaction if it is rolled back
    bool relisten_ = false;                  // the next server is to listen to the client's channels
    bool relistening_ = false;               // it has been asked to
    bool only_listens_ = false;              // what is waited for is a server to listen on; no request waits
    bool in_front_ = false;                  // what is injected is a segment of our own: see bring_in_front()
    bool shares_ = false;                    // it listens through the shared listener, or has asked to
    bool shows_channels_ = false;            // the server at hand listens as well, so that it can say to what
    enum class listener_wait : std::uint8_t { no, request, ready };
    listener_wait listener_wait_ = listener_wait::no;  // what is held back for on_listener()
    std::size_t client_frame_left_ = 0;
    std::int32_t client_pid_;
    std::uint64_t id_;
    std::string client_key_;

    settings_ptr base_;               // startup values: what RESET ALL goes back to (D16)
    settings_ptr desired_;            // what the client has chosen
    settings_ptr committed_;          // desired_ when the open transaction began
    settings_ptr committed_applied_;  // link_->applied then
    reported_ptr believed_;           // ParameterStatus as the client knows it

    struct name_hash : std::hash<std::string_view> {
        using is_transparent = void;
    };
    using name_map = std::unordered_map<std::string, statement_ptr, name_hash, std::equal_to<>>;
    name_map names_;
    std::uint64_t names_token_;    // of names_, as far as they are the client's own on servers: see forget_own_names()
    std::size_t names_bytes_ = 0;  // what they make us remember, counted against limits.session_memory
    std::string unnamed_tail_;     // the unnamed statement, to prepare it elsewhere
    effects_ptr unnamed_effects_;
    std::uint64_t unnamed_token_ = 0;

    /// A request that is taken again.
    struct redo {
        std::size_t bytes = 0;  ///< of its frames that are still to be offered
        request_fate fate = request_fate::again;
        error_fields why;  ///< of those that are answered with an error
        std::vector<statement_class> reads;
        bool decided = false;  ///< its first frame has been taken
        bool resumes = false;
        bool opens_lost_block = false;
        bool answerable = false;  ///< commit_resolve
        std::string obstacle;     ///< the same
        bool ends_block = false;  ///< again_in_block: the COMMIT of its transaction
        bool autocommit = false;  ///< commit_resolve: no COMMIT, but what commits by itself
        bool follows = false;     ///< the same: judged with the one before
        [[nodiscard]] bool is_replayed() const { return fate == request_fate::replay; }
    };

    using named_statements = std::vector<std::pair<std::string, statement_ptr>>;

    /// A transaction that is being given again.
    struct replay_state {
        std::string frames;  // the journal's
        std::vector<digest_value> answers;
        std::size_t next = 0;  // whose answer comes next
        std::string incident;
        bool opens_chain = false;  // nothing is given again: a transaction begins that AND CHAIN has opened
        // What the client's names mean, for the case that it fails.
        name_map names;
        std::size_t names_bytes = 0;
        std::string unnamed_tail;
        effects_ptr unnamed_effects;
        std::uint64_t unnamed_token = 0;
    };

    struct doubtful_commit {
        commit_capture captured;
        std::string words;
        std::string incident;
        std::uint32_t times = 0;
        std::chrono::milliseconds waited{0};
    };

    // Rarely used state, allocated when needed.
    struct extra {
        std::unique_ptr<replay_state> replay;
        std::optional<std::string> opening;  // of a transaction like the one that was lost last, if that is known
        std::string chain;                   // the frame that opens the transaction, while chained_
        digest_value resumed;                // what had been delivered of the answer that is resumed
        std::uint64_t resumed_rows = 0;
        bool resumed_from_standby = false;
        error_fields unresumed;  // the first redo's, if it cannot be resumed after all
        std::optional<error_fields>
            told_why;                         // why the transaction is lost, if that is known better than by its server
        std::vector<std::string> names_made;  // by the open transaction
        named_statements names_gone;          // and deallocated
        std::uint32_t replays_tried = 0;      // of the transaction at hand
        listening_state listening;
        std::map<std::string, effects_ptr, std::less<>> portals;  // portals whose execution has effects
        std::vector<std::string> lent;                            // names lent to Executes of the open segment
        std::vector<std::string> truth_names;
        reported_ptr truth_reported;  // when it was asked: at the end of the transaction
        std::vector<std::string> touched_names;
        std::vector<setting_mark>
            setting_marks;          // savepoints behind the first setting that the open transaction has changed
        bool marks_unsure = false;  // a savepoint's tag has come, and its text has not been looked at yet
        std::vector<std::optional<std::string>> truth_values;
        error_fields restore_error;
        error_fields refusal;
        token_scanner scanner;
        std::vector<std::pair<std::string, std::string>> former_names;  // server's and client's, of statements undone
        std::string withheld;                                           // the unfinished result (D26)
        std::string finished_texts;                                     // see remember_texts()
        std::string taken_back;
        local_wishes wishes;           // SET LOCAL pgsteady.*
        commit_judgement lost_reader;  // of the transaction that died while its client was silent
        settings_ptr chosen;           // what the lost transaction had set, if its COMMIT turns out to be done
        std::string late_notice;       // goes before the tag of a COMMIT that is answered here
        std::deque<redo> redos;        // what becomes of what was taken back, in order
        settings_ptr guarded;          // desired_, read-only
        std::unique_ptr<read_proof> proof;
        std::size_t proven = 0;              // of the first redo's texts
        error_fields guard_error;            // for a statement that turns out to write under the guard
        std::vector<std::string> new_names;  // prepared since the last ReadyForQuery
        named_statements gone_names;         // and deallocated
        std::vector<std::vector<std::optional<std::string>>> proof_rows;
        std::vector<std::optional<std::string>> in_doubt_row;
        std::string asked_sqlstate;  // of a capture or question that failed
        error_fields order_error;    // goes instead of what the client's Query got for it
        error_fields capture_error;  // goes instead of the 25P02 that the client's statement got for it
        doubtful_commit doubt;       // the first redo, while it is commit_resolve
        std::string held;            // of a rewritten_ Query: RowDescription until there is a row, or its tag
        std::string gated_answer;    // its answer, all but ReadyForQuery, as far as the client does not have it
    };
    extra& more();
    request_report& seldom();
    std::unique_ptr<extra> extra_;

    session_actions actions_;
    request_report report_;
};

}  // namespace pgsteady
