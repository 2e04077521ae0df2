// monitor_connection: the monitor's own connection to one host: dial, sign in, one probe at a time, each with a deadline.
// Every errand has exactly one outcome. It must never take a pool's place, trust what the server sends, or keep more of it
// than a bound. Handshakes and key derivation run right here: this thread serves nobody else.
// Owned by watched_cluster; loop thread only; its callback may open or close it again, but not destroy it.
#pragma once

#include "protocol/server_login.hpp"

#include "config/config.hpp"

#include "proxy/cluster/cluster_options.hpp"
#include "proxy/net/dial.hpp"
#include "proxy/net/event_loop.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/policy/cluster_report.hpp"
#include "proxy/policy/recovery_verdict.hpp"
#include "proxy/policy/storage_watch.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pgsteady {

class monitor_connection final : private net::stream_handler {
public:
    struct outcome {
        enum class what : std::uint8_t {
            touched,         ///< open() without account: it accepts connections; closed again
            signed_in,       ///< open(): ask() may be called
            connect_failed,  ///< open(): verdict and words; closed
            answered,        ///< ask(): found
            refused,         ///< ask(): the server does not answer this query (words); it stays open
            tried,           ///< try_to_write(): attempt
            missed,          ///< ask(), try_to_write(): no answer in time; closed
            ended,           ///< the connection has ended by itself; verdict and words
        };
        what kind = what::touched;
        recovery_verdict verdict{};
        std::string words{};
        probe_result found{};
        write_attempt attempt = write_attempt::given_up;  ///< of an attempt to write, also if the connection ended
    };

    monitor_connection(net::event_loop& loop, const cluster_options& options, config::host_port host,
                       std::function<void(outcome)> tell);
    ~monitor_connection();
    monitor_connection(const monitor_connection&) = delete;
    monitor_connection& operator=(const monitor_connection&) = delete;

    /// Closed before. Without an account it only connects.
    void open(std::optional<monitor_login> account);
    /// Signed in, and nothing under way.
    void ask();
    /// Likewise.
    void try_to_write();
    /// Without a word to the callback. Idempotent.
    void close();

private:
    enum class state : std::uint8_t { closed, dialling, signing_in, handshaking, settling, resting, asking, writing };

    void on_readable() override { go_on(); }
    void on_writable() override { go_on(); }

    void dial();
    void on_dialled(net::dial_result result);
    void begin_login();
    void go_on();
    void take_input();
    void sign_in();
    void begin_handshake();
    void shake_hands();
    [[nodiscard]] bool try_other_encryption(std::string_view refusal);
    void take_frames();
    void take_frame(char type, std::string_view body);
    void on_error(std::string_view body);
    void on_ready_for_query();
    void on_end(const net::io_result& got);
    void on_deadline();
    void send_query(std::string_view sql);
    void send(std::string_view bytes);
    void fail(const recovery_verdict& why, std::string words);
    void fail(failure_kind kind, std::string words) { fail(judge(kind, doing()), std::move(words)); }
    [[nodiscard]] bool is_open() const { return state_ >= state::resting; }
    [[nodiscard]] failure_phase doing() const { return is_open() ? failure_phase::statement : failure_phase::dialling; }
    void arm_deadline();

    net::event_loop& loop_;
    const cluster_options& options_;
    const config::host_port host_;
    const std::function<void(outcome)> tell_;
    state state_ = state::closed;
    std::optional<monitor_login> account_;
    std::optional<server_login::tls_mode> tls_override_;
    net::dial_handle dialling_;
    std::unique_ptr<net::stream> stream_;
    std::optional<server_login> login_;
    net::timer_id deadline_;
    std::string in_;
    std::size_t level_ = 0;              // of the probe that this server answers
    std::optional<probe_result> found_;  // the row of the answer in progress
    std::string refusal_;                // the error of the answer in progress
    recovery_verdict last_verdict_;      // the server's last words about its end
    std::string last_words_;
    net::time_point asked_at_{};
    write_attempt attempt_ = write_attempt::wrote;
};

}  // namespace pgsteady
