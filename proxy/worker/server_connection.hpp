// One connection to a PostgreSQL server: its socket, its sign-in, and the errands it runs while nobody
// uses it (reset, probe, barrier). What it knows of the conversation is in `link`, which a session
// borrows while attached. Owned by its local_pool, or by the letter in
// which it travels to another worker.
#pragma once

#include "protocol/server_login.hpp"

#include "config/config.hpp"

#include "proxy/net/acknowledgement.hpp"
#include "proxy/net/dial.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/policy/server_need.hpp"
#include "proxy/pool/pool.hpp"
#include "proxy/pool/routing.hpp"
#include "proxy/session/gather.hpp"
#include "proxy/session/server_link.hpp"
#include "proxy/worker/fence_list.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

class client_connection;
class local_pool;
class shared_listener;
class worker;

[[nodiscard]] server_login::tls_mode tls_mode_of(config::server_tls_mode mode);
/// How servers are signed in to, as configured; who signs in is the caller's to add.
[[nodiscard]] server_login::settings sign_in_of(const config::backend_settings& from);

/// Why a server could not be opened.
struct open_failure {
    error_fields why;
    bool from_server = false;  ///< the server's own words
    recovery_verdict verdict{};
    bool superseded = false;  ///< given up by ourselves, since it is not wanted any more: says nothing about the host
};

class server_connection final : public net::stream_handler,
                                public pooled_server,
                                public std::enable_shared_from_this<server_connection> {
public:
    enum class phase : std::uint8_t {
        dialling,
        signing_in,
        setting_up,  ///< asks what kind of server it is
        preparing,   ///< runs pool.connect_query
        idle,
        serving,  ///< a client is attached
        cooling,  ///< a cancel request for its last client is still on its way (P43)
        resetting,
        preparing_again,  ///< after that
        probing,
        barrier,    ///< an empty query proves that no cancel is left behind (D19)
        settling,   ///< our own settings are set again
        fencing,    ///< asks for the end of lost connections' backends
        searching,  ///< asks who keeps a replay waiting (D30)
        abandoned,  ///< its client has left; the cancel of what it does is on its way, then it is closed
        leaving,    ///< has said Terminate; the server's end of the connection tells that its place is free
        closed,
    };

    friend std::string_view to_string(phase now);

    /// `serves`: which of the pool's groups it belongs to, and so the role that it looks for.
    server_connection(worker& at, local_pool& pool, server_need serves);
    ~server_connection();
    server_connection(const server_connection&) = delete;
    server_connection& operator=(const server_connection&) = delete;

    /// A client's password that is tried on the server, as that client (D38).
    struct trial {
        std::string password;
        bool pooled = false;  ///< has a permit: becomes a server of the pool if it is right
        /// Not a trial, but a replication connection with these start-up parameters and the pool's own account.
        std::shared_ptr<const parameter_list> replication{};
        parameter_list reported{};  ///< then: what the server has reported
        bool listens = false;       ///< that, but it is to listen for the pool's clients
    };

    /// Dials, signs in, looks around; the pool hears opened() or open_failed(), or trial_passed() if it is a trial
    /// outside of the pool. Other hosts are tried in turn if the target is not fixed.
    void open(std::optional<trial> trying, dial_target where);
    /// Only of a trial.
    [[nodiscard]] const trial& tried() const { return *trial_; }

    /// What it says from now on is for the one that listens for all clients.
    void serve(shared_listener& all) { listener_ = &all; }
    void attach(client_connection& client);
    void detach();
    /// Writes everything or keeps the rest; false: the connection has failed (the reader will see it).
    void write(const gather& output);
    [[nodiscard]] bool write_blocked() const { return !unsent_.empty(); }
    /// Goes on reading after the client could not take more.
    void resume_reading();
    /// Gives the client what it has not taken, then goes on reading.
    void offer_again();

    void start_reset();
    /// It has taken its leave while a client had it, which wants nothing of it any more.
    void end_as_told() { on_lost(link.last_words, failure_kind::none); }
    void start_probe();
    void start_barrier();
    /// Our own settings have been reset, and not just now either: start_settling() would set them again.
    [[nodiscard]] bool wants_settling(pool_time now) const;
    void start_settling();
    /// A question of fence_list; the pool hears fence_answered().
    void start_fence(const fence_list::question& asked);
    /// A right_of_way::question() about this process; the pool hears keepers_found().
    void start_search(std::int32_t pid);
    /// The transaction of its client, whose answer is held, is taken from it: it ends now, as lost.
    void give_way();
    /// Whom to reach on the server once this connection is gone.
    [[nodiscard]] lost_backend identity() const;
    /// A cancel request towards this server has begun or ended.
    void cancel_begun() { ++cancels_; }
    void cancel_ended();
    [[nodiscard]] bool has_cancel() const { return cancels_ > 0; }
    void cool_down();
    void wait_for_cancel();

    /// Nobody answers on its host, as the monitor has found or the connection itself shows: it ends now, as lost, whatever
    /// it does.
    void host_is_silent();
    /// An open connection on which the server has acknowledged nothing for `limit`, although it was sent something.
    [[nodiscard]] bool unacknowledged(std::chrono::milliseconds limit, net::time_point now);
    /// Its host is not what it is wanted for any more: an attempt to open it ends; what is open is condemned.
    void no_longer_wanted();

    /// Says Terminate and waits for the server to go, at most a second; the pool hears left(). Idle ones only.
    void leave();
    /// Says Terminate if that makes sense, and closes. The object is freed later.
    void close();

    void move_to(worker& other, local_pool& pool);
    /// It has been given away and leaves at the end of the turn: whatever happens to it until then is nobody's loss here.
    void begin_travel();
    void leave_worker();

    void on_readable() override;
    void on_writable() override;

    [[nodiscard]] phase now() const { return phase_; }
    [[nodiscard]] bool opening() const { return phase_ <= phase::preparing; }
    [[nodiscard]] server_need serves() const { return serves_; }
    [[nodiscard]] bool uses_tls() const { return stream_ != nullptr && stream_->tls(); }
    [[nodiscard]] const config::host_port& host() const { return host_; }
    [[nodiscard]] client_connection* client() const { return client_; }
    [[nodiscard]] local_pool& pool() const { return *pool_; }

    server_link link;

private:
    void dial_host();
    void on_dialled(net::dial_result result);
    void sign_in(std::string_view in, std::size_t& used);
    void begin_handshake();
    void handshake_done(std::unique_ptr<net::stream> stream, net::stream::handshake result);
    void derive_key(std::string_view in);
    void key_derived(std::unique_ptr<server_login> login, server_login::step step, std::string rest, std::string out);
    void begin_setup();
    void on_setup_done();
    void on_prepared();
    void on_connect_query_failed();
    void fail_open(open_failure why);
    void try_next_host(open_failure why);
    void go_to_next_host(open_failure why);
    void give_up_opening(const open_failure& why);
    [[nodiscard]] bool try_other_encryption(std::string_view refusal);
    void leave_host();
    void login_step(server_login::step step);
    void read_some();
    void on_lost(std::string_view what, failure_kind kind);
    [[nodiscard]] failure_phase doing() const;
    void on_end(const net::io_result& how);
    void end_with_held_answer();
    void note_crash();
    std::size_t take_unattached(std::string_view in);
    bool take_unattached_frame(char type, std::string_view body);
    void errand(std::string_view sql, phase during, std::string_view and_then = {});
    [[nodiscard]] std::string own_settings() const;
    void take_fence_row(std::string_view body);
    void take_keeper(std::string_view body);
    void errand_done();
    void send(std::string_view bytes);
    [[nodiscard]] net::time_point deadline() const;

    worker* worker_;
    local_pool* pool_;
    server_need serves_;
    phase phase_ = phase::dialling;
    net::dial_handle dialling_;
    std::unique_ptr<net::stream> stream_;
    net::acknowledgement_watch acknowledgements_;
    std::unique_ptr<server_login> login_;
    client_connection* client_ = nullptr;
    shared_listener* listener_ = nullptr;
    std::string pending_in_;
    std::string unsent_;
    std::optional<trial> trial_;
    config::host_port host_;
    bool host_fixed_ = false;
    std::size_t hosts_tried_ = 0;
    std::optional<server_login::tls_mode> tls_override_;
    net::timer_id open_timer_;
    pool_time open_started_{};
    pool_time sign_in_started_{};
    unsigned cancels_ = 0;
    bool asked_less_ = false;  // the whole set-up query is not allowed here: the short one was sent
    bool errand_failed_ = false;
    bool errand_answered_ = false;  // what is still owed was sent along with it
    error_fields errand_problem_;
    std::vector<fence_list::row> fence_rows_;
    std::uint64_t fence_question_ = 0;
    std::vector<std::int32_t> keepers_;
    pool_time settled_at_{};
    bool travelling_ = false;         // from begin_travel() to move_to()
    std::atomic<unsigned> stay_ = 0;  // how often it has left a worker: what that worker deferred is void then
    bool at_helper_ = false;          // the stream (TLS handshake) or the sign-in (PBKDF2) is on the helper thread
    std::uint64_t attempt_ = 0;       // tells the helper's late answers from those that are waited for
};

}  // namespace pgsteady
