// tls_engine: one TLS connection over memory, no socket. Ciphertext goes in and comes out as views; between calls it
// keeps only what could not be consumed or sent, and nothing while idle (D40). It must never read more than it was
// fed, and never call OpenSSL again after a fatal error. Owned by a stream; moves between threads with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct bio_st;
struct ssl_st;

namespace pgsteady::net {

class tls_context;

class tls_engine {
public:
    enum class outcome : std::uint8_t {
        done,        ///< the handshake is complete; or bytes were read
        want_input,  ///< everything fed was consumed; feed more
        closed,      ///< close_notify came: an orderly end
        failed,      ///< for good, see problem()
    };

    /// `host` is used by clients only: SNI, and verification if the context asks for it. nullptr: `problem` says why.
    [[nodiscard]] static std::unique_ptr<tls_engine> make(const tls_context& context, const std::string& host,
                                                          std::string& problem);
    ~tls_engine();
    tls_engine(const tls_engine&) = delete;
    tls_engine& operator=(const tls_engine&) = delete;

    [[nodiscard]] outcome handshake();
    [[nodiscard]] bool handshake_done() const { return handshake_done_; }
    /// Decrypts into `into` (not empty), from one record at most.
    [[nodiscard]] outcome read(std::span<char> into, std::size_t& bytes);
    /// Encrypts all of it as one record (at most max_record bytes). False: failed.
    [[nodiscard]] bool write(std::string_view plain);
    /// Queues a close_notify, once, if the connection is in a state to send one.
    void end_output();

    /// Input is borrowed: call keep_unread() before `ciphertext` dies.
    void feed(std::string_view ciphertext);
    void keep_unread();
    void end_input() { input_ended_ = true; }
    /// read() may give something without being fed.
    [[nodiscard]] bool has_input() const;
    /// Everything fed was consumed and the socket has ended.
    [[nodiscard]] bool truncated() const { return state_ == state::failed && input_ended_ && handshake_done_; }

    /// Ciphertext to send next; valid until the next call. Call sent() at the end of every use of the engine, with 0 if
    /// need be: it is what moves the rest from the thread's scratch space into the connection.
    [[nodiscard]] std::string_view output() const;
    void sent(std::size_t bytes);
    [[nodiscard]] std::size_t pending_output() const { return kept_output_.size() - output_sent_; }

    /// Static text for a failure on the data path.
    [[nodiscard]] const char* problem() const { return problem_; }
    /// The same with the certificate's problem, if that was it.
    [[nodiscard]] std::string describe_problem() const;
    [[nodiscard]] std::string describe() const;
    [[nodiscard]] std::string server_end_point() const;
    [[nodiscard]] std::string peer_common_name() const;
    [[nodiscard]] std::string_view application_protocol() const;

    static constexpr std::size_t max_record = 16'384;

private:
    enum class state : std::uint8_t { open, closed, failed };
    struct ssl_deleter {
        void operator()(ssl_st* ssl) const;
    };
    friend struct engine_bio;

    explicit tls_engine(ssl_st* ssl) : ssl_(ssl) {}
    [[nodiscard]] outcome judge(int result);
    [[nodiscard]] bool prepare_client(const tls_context& context, const std::string& host, std::string& problem);

    std::unique_ptr<ssl_st, ssl_deleter> ssl_;
    std::string_view input_;   // borrowed, or into kept_input_
    std::string kept_input_;   // freed when consumed
    std::string kept_output_;  // freed when sent
    std::size_t output_sent_ = 0;
    const char* problem_ = nullptr;
    state state_ = state::open;
    bool is_server_ = false;
    bool handshake_done_ = false;
    bool input_ended_ = false;
    bool output_ended_ = false;
};

}  // namespace pgsteady::net
