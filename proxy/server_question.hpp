// Asks one server one question on a connection of its own: dial, sign in, query, close; or several, one after the other. For
// --check, test-connection and auth.query; never on a hot thread, for sign-in may cost a PBKDF2 and a handshake here.
// What the server sends is bounded. Lives on the thread that runs its loop; owned by whoever asks.
#pragma once

#include "protocol/server_login.hpp"

#include "config/config.hpp"

#include "proxy/net/dial.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/net/tls_context.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

/// Who asks. Secrets: never logged, never part of an answer.
struct server_account {
    std::string user;
    std::string database;
    std::string password{};
    std::optional<scram_secret> secret{};
    std::string md5_hash{};
};

class server_question final : public net::stream_handler {
public:
    struct settings {
        config::host_port host;
        server_account who;
        std::string query;
        /// The query is somebody's own: one statement, in a READ ONLY transaction that is rolled back, and not as a
        /// superuser (D36).
        bool untrusted = false;
        std::chrono::milliseconds patience{3'000};  ///< for all of it, and for each further question
        std::string preparation{};                  ///< asked first; what it answers is not looked at. Empty: nothing
        std::optional<std::string> parameter{};     ///< $1 of the query, as text of a type that the server infers
        /// The connection is kept for ask_again(), also when the server refuses a question.
        bool stays = false;
        std::function<void()> ended{};  ///< told when it is over; from within: it must not be destroyed there
    };

    server_question(net::event_loop& loop, const config::settings& all, std::shared_ptr<const net::tls_context> tls,
                    settings what);
    ~server_question();

    /// Ends in over(), at the latest when patience is used up, as long as the loop runs.
    void begin();
    [[nodiscard]] bool over() const { return over_; }

    /// Of one that stays: a further question may be asked, as far as is known.
    [[nodiscard]] bool reusable() const { return over_ && stream_ != nullptr && !gone_; }
    /// The same query for another $1. Only if reusable().
    void ask_again(std::string parameter);
    /// It has answered a question before the one that is over.
    [[nodiscard]] bool reused() const { return reused_; }

    [[nodiscard]] const config::host_port& host() const { return what_.host; }
    /// Nothing: it was answered.
    [[nodiscard]] const std::optional<error_fields>& problem() const { return problem_; }
    /// Of the first row; as text.
    [[nodiscard]] const std::vector<std::optional<std::string>>& row() const { return row_; }
    [[nodiscard]] std::size_t rows() const { return rows_; }
    /// A ParameterStatus, or empty.
    [[nodiscard]] std::string parameter(std::string_view name) const;
    /// From dialling to the end of the sign-in, and from the query to its last answer.
    [[nodiscard]] net::clock::duration connect_time() const { return signed_in_at_ - begun_at_; }
    [[nodiscard]] net::clock::duration query_time() const { return ended_at_ - signed_in_at_; }

    void on_readable() override;
    void on_writable() override { on_readable(); }

private:
    void dial(std::optional<server_login::tls_mode> tls);
    void arm_patience();
    void end(std::optional<error_fields> problem);
    void rest();
    void fail(std::string_view sqlstate, std::string message);
    void on_dialled(const net::dial_result& result);
    void sign_in();
    void begin_handshake();
    [[nodiscard]] bool try_other_encryption(std::string_view refusal);
    [[nodiscard]] bool shake_hands();
    void ask();
    void read_answer();
    void take_frame(char type, std::string_view body);
    void take_row(std::string_view body);

    net::event_loop& loop_;
    const config::settings& all_;
    std::shared_ptr<const net::tls_context> tls_;
    settings what_;
    net::dial_handle dialling_;
    std::unique_ptr<net::stream> stream_;
    std::unique_ptr<server_login> login_;
    std::optional<server_login::tls_mode> tls_override_;
    net::timer_id patience_timer_;
    parameter_list parameters_;
    std::string in_;
    std::size_t bytes_taken_ = 0;
    std::optional<error_fields> problem_;
    std::vector<std::optional<std::string>> row_;
    net::time_point begun_at_{};
    net::time_point signed_in_at_{};
    net::time_point ended_at_{};
    int answers_due_ = 0;  // ReadyForQuery
    std::size_t rows_ = 0;
    bool gone_ = false;  // the connection has ended while it rested
    bool reused_ = false;
    bool handshaking_ = false;
    bool over_ = false;
};

}  // namespace pgsteady
