// One client's socket: its sign-in, then its session. Moves bytes between sockets and the session and
// does what the session asks; decides nothing about the protocol. Owned by its worker.
#pragma once

#include "protocol/client_login.hpp"

#include "proxy/console/door.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/policy/answer_hold.hpp"
#include "proxy/pool/pool.hpp"
#include "proxy/session/session.hpp"
#include "proxy/worker/counters.hpp"
#include "proxy/worker/credential_lookup.hpp"
#include "proxy/worker/fence_list.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pgsteady {

class local_pool;
class server_connection;
class worker;

class client_connection final : public net::stream_handler,
                                public pool_waiter,
                                public std::enable_shared_from_this<client_connection> {
public:
    client_connection(worker& at, std::uint64_t serial, std::string peer);
    ~client_connection();
    client_connection(const client_connection&) = delete;
    client_connection& operator=(const client_connection&) = delete;

    /// Takes the descriptor and begins the sign-in. False: the connection is already gone.
    [[nodiscard]] bool begin(int fd);

    // From the pool.
    std::uint64_t barrier_number = 0;  ///< under which its interrupted transaction is waited for (D30); 0: none is
    [[nodiscard]] bool behind_barrier() const { return session_ != nullptr && session_->behind_barrier(); }
    /// What was under way in its interrupted transaction may be sent.
    void pass_barrier();
    /// Another host may be the primary now, which is all that a replay waits for (D24).
    void look_for_successor();
    void grant(server_connection& server);
    void refuse(const error_fields& why);
    /// Only while it waits.
    void notice(const error_fields& what);
    void password_verdict(bool ok, const error_fields* why);
    /// Its own server for replication is there, or cannot be had (client_replication.cpp).
    void replication_opened(server_connection& server, const parameter_list& reported);
    void replication_refused(const error_fields& why);
    [[nodiscard]] bool asks_for_replication() const { return replication_.has_value(); }
    /// Bytes pass between it and its server as they are.
    [[nodiscard]] bool relays() const { return relaying_; }

    // From the pool's shared listener (client_notify.cpp).
    void listener_synced(const error_fields* why);
    void shared_notification(std::string_view frame);
    void notifications_missed(std::string_view incident);

    // From the server connection.
    /// `in` may lie in the worker's scratch buffer, so nothing is read from the client's socket here. The caller
    /// keeps this object, puts away what was not used, then calls server_bytes_taken().
    void server_bytes(std::string_view in, std::size_t& used);
    /// The same of what is not held.
    void take_server_bytes(std::string_view in, std::size_t& used);
    /// From worker: the cluster that its pool belongs to is in another mode.
    void reconsider();
    /// Goes on with what the client had sent ahead.
    void server_bytes_taken();
    void server_lost(std::string_view words);
    void server_writable();
    /// The client cannot take more, or something has to be known before it does: whoever feeds it must stop.
    [[nodiscard]] bool write_blocked() const { return !unsent_.empty() || awaiting_role_ || answer_hold_.on(); }
    /// What its server has said is left with it for a moment, since others are losing theirs (client_held_answer.cpp).
    [[nodiscard]] bool holding_answer() const { return answer_hold_.on(); }
    /// It is taken, if it need not be held any longer.
    void look_at_held_answer();
    /// It is listened to again.
    void end_answer_hold();
    /// Its server has rows that a replay had before, and has not been heard: its transaction is interrupted, too, if it can be
    /// given again.
    void give_way();
    /// The server that it waits for news of has been given up: that is news enough (D21).
    void role_is_lost();

    // From the worker.
    void cancel();
    /// Asks for a polite end: at once if idle, else when the transaction is over or by force.
    void drain(bool by_force);
    /// It waits for its session's first server: what it hears of a vain wait is R16.
    [[nodiscard]] bool signs_in() const { return session_ != nullptr && !session_->ready(); }
    void kill(const error_fields& why, end_reason reason);
    /// Any of its timeouts is on: check_timeouts() wants to be called now and then.
    [[nodiscard]] bool has_timeouts() const;
    void check_timeouts(pool_time now);

    void on_readable() override;
    void on_writable() override;

    [[nodiscard]] session* conversation() { return session_.get(); }
    [[nodiscard]] server_connection* server() const { return server_; }
    [[nodiscard]] std::uint64_t serial() const { return serial_; }
    [[nodiscard]] bool closed() const { return closed_; }
    [[nodiscard]] const std::string& user() const { return user_; }
    [[nodiscard]] const std::string& database() const { return database_; }
    [[nodiscard]] const std::string& peer() const { return peer_; }
    [[nodiscard]] local_pool* pool() const { return pool_; }
    /// When the open transaction began; the epoch: none is open.
    [[nodiscard]] pool_time transaction_since() const { return transaction_since_; }
    [[nodiscard]] pool_time connected_at() const { return connected_at_; }
    /// When it was given the server that it has.
    [[nodiscard]] pool_time attached_since() const { return attached_since_; }
    /// When a byte last passed in either direction; the epoch: none has since the sign-in began.
    [[nodiscard]] pool_time last_activity() const { return last_activity_; }
    [[nodiscard]] std::string tls() const { return stream_ != nullptr ? stream_->describe_tls() : std::string(); }

private:
    void read_some();
    void take(std::string_view in);
    std::size_t sign_in(std::string_view in);
    void login_step(client_login::step step, std::string& out);
    void look_up_user(std::string& out);
    // client_access.cpp
    [[nodiscard]] std::optional<error_fields> objection_to_entry();
    [[nodiscard]] std::optional<error_fields> objection_by_rules();
    [[nodiscard]] bool certificate_fits(const config::hba_rule* rule) const;
    // client_lookup.cpp
    void look_up_role(std::string& out);
    void role_found(const role_answer& answer);
    void use_role(const role_answer& answer, std::string& out);
    void note_failed_lookup();
    void offer_secrets();
    void check_password(std::string& out);
    [[nodiscard]] bool find_pool(error_fields& why);
    [[nodiscard]] bool peer_is_unix() const { return peer_ == "unix" || peer_.starts_with('/'); }
    void end_check();
    void finish_login(std::string& out);
    void begin_replication(const std::string& greeting);
    void relay(std::string_view in);
    // client_console.cpp
    void look_up_operator(std::string& out);
    void enter_console(const std::string& out);
    void leave_for_console(console_role role, const std::string& greeting, std::shared_ptr<void> seat);
    void expect_startup(bool is_local);
    [[nodiscard]] bool take_proxy_header(std::string_view in, std::size_t& used);
    void begin_handshake(std::string_view already_read);
    void handshake_done(std::unique_ptr<net::stream> stream, net::stream::handshake result);
    void send_cancel();
    void converse(std::string_view in);
    /// In another turn of the loop, for what no event tells of.
    void read_later();
    void discard_input();
    void take_server(server_connection& server);
    void give_up_server();
    [[nodiscard]] server_connection* detach_server();
    bool act();
    void flush();
    void write(const gather& output);
    void send(std::string_view bytes);
    void offer_pending();
    request_report count_requests();
    void settle_notified();
    void count_seldom(const request_report& done);
    void count_durations(const request_report& done, pool_time now);
    void count_retries(retry_outcome outcome, std::uint64_t times);
    void note_transaction(pool_time now);
    [[nodiscard]] bool is_slow(pool_time now) const;
    void log_slow(pool_time now);
    void send_away();
    [[nodiscard]] std::string cancelled_incident();
    void fence_lost(lost_backend whom, fence_facts what, const request_report& done, std::string incident);
    void take_requests_back(const session_actions& asked);
    [[nodiscard]] bool hold_answer();
    [[nodiscard]] bool may_hold_answer() const;
    [[nodiscard]] bool ask_other_workers();
    void look_again_at(pool_time when);
    void others_have_read();
    void take_held_answer();
    void claim_rows_in(pool_duration pause);
    // client_replay.cpp
    void begin_replay(const session_actions& asked);
    void look_at_barrier(const request_report& done);
    void await_fence(lost_backend whom, fence_need how, std::string incident);
    void fence_ended(std::uint64_t number, fence_outcome outcome);
    void end_fence_wait();
    void go_on_with_replay();
    void give_up_replay(std::string_view why);
    void count_replays(const request_report& done);
    void count_resumes(const request_report& done);
    void end_pause();
    [[nodiscard]] pool_duration patience_of_retry() const;
    void forget_failure();
    void watch_result();
    void listen_after_pause();
    void ask_after_pause(pool_duration pause);
    void begin_role_wait();
    void look_for_role();
    void look_for_role_in(pool_duration pause);
    void end_role_wait(bool changed);
    void close(end_reason reason);
    void close_when_flushed(end_reason reason);
    void finish_closing();
    void close_within(pool_duration time);

    worker& worker_;
    std::uint64_t serial_;
    std::string peer_;
    std::unique_ptr<net::stream> stream_;  ///< null while the helper shakes hands
    std::unique_ptr<client_login> login_;
    std::unique_ptr<session> session_;
    local_pool* pool_ = nullptr;
    server_connection* server_ = nullptr;
    std::string user_;
    std::string database_;
    std::string pending_in_;
    std::string unsent_;
    std::string tried_password_;
    std::string source_;  ///< whose tries are being counted; empty: none is
    net::timer_id login_timer_;
    bool awaits_header_ = false;  // of the PROXY protocol
    net::timer_id end_timer_;
    pool_time active_since_{};  ///< when the request in progress began; the epoch: none
    pool_time last_activity_{};
    pool_time failed_since_{};    ///< when the request in progress lost its first server; the epoch: it has not (D3)
    net::timer_id pause_timer_;   ///< before a request is sent again (D4)
    net::timer_id doubt_timer_;   ///< until it is asked once more what became of a COMMIT
    net::timer_id listen_timer_;  ///< until a listening client asks for a server again
    net::timer_id result_timer_;  ///< retry.result_hold_time
    net::timer_id role_timer_;    ///< the next look at what the monitor says of the server (D21)
    pool_time role_asked_at_{};
    std::uint32_t retried_ = 0;  ///< requests that are being sent again
    pool_time first_byte_at_{};  ///< of the reply to that request; the epoch: none has come
    pool_time transaction_since_{};
    retry_cause retried_because_ = retry_cause::connection;
    pool_time attached_since_{};  ///< when it was given the server that it has
    pool_time connected_at_;
    end_reason closing_ = end_reason::none;
    bool handshaking_ = false;
    bool pausing_ = false;
    bool keeping_result_ = false;
    bool counted_ = true;         ///< under limits.max_clients
    net::timer_id replay_timer_;  ///< replay.timeout
    pool_time replay_since_{};    ///< the loss; the epoch: nothing is being replayed
    std::string replay_incident_;
    std::size_t lost_host_ = 0;
    std::uint64_t fence_number_ = 0;  ///< of the fence that is awaited
    bool awaiting_fence_ = false;     ///< nothing is offered to the session before it is known (D24)
    answer_hold answer_hold_;         ///< its server's is not taken yet
    net::timer_id hold_timer_;        ///< until it is
    pool_time held_at_most_{};        ///< however many servers are lost meanwhile
    net::timer_id claim_timer_;       ///< until it is looked for who keeps its replay waiting
    bool replay_unasked_ = false;     ///< the client was waiting for nothing
    bool awaiting_role_ = false;      ///< its server has refused to write; what it says from there on is not taken yet
    bool admitted_ = false;
    bool counted_unauthenticated_ = true;
    bool draining_ = false;
    bool lingering_ = false;  ///< its farewell is said; it may read it in peace
    bool closed_ = false;
    bool checking_ = false;                                            ///< a password is being tried on the server
    config::auth_method method_ = config::auth_method::scram_sha_256;  ///< how this client signs in
    bool looking_up_ = false;      ///< a server is being asked what it has stored of the user's password
    bool remembered_ = false;      ///< it was known without asking
    role_cache::secret_ptr role_;  ///< what the server has stored; null: the user is not looked up
    bool relaying_ = false;
    std::optional<std::string> replication_;  ///< its AuthenticationOk, while its server for replication is opened
    bool statement_cancelled_ = false;
};

}  // namespace pgsteady
