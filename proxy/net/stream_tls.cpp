// The TLS half of stream: carries ciphertext between the socket and the engine, through scratch space of the thread.
// It must leave no view of the scratch behind in an engine, and bound what a peer can make us do without sending data.
#include "proxy/net/stream.hpp"
#include "proxy/net/tls_context.hpp"
#include "proxy/net/tls_engine.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

namespace pgsteady::net {

namespace {

using kind = io_result::kind;

constexpr std::size_t records_per_send = 4;
// Room for headers, tags and padding of the records that fit a reader's span.
constexpr std::size_t record_overhead = 1024;
constexpr std::size_t most_received_at_once = records_per_send * tls_engine::max_record + record_overhead;
// Handshakes, key updates and alerts are small. Beyond this without a byte of data, the peer only keeps us busy.
constexpr std::size_t most_received_without_data = 256 * 1024;
// What one write may leave behind, and answers to a peer that asks (key updates) but does not read them.
constexpr std::size_t most_ciphertext_kept = most_received_at_once + std::size_t{32} * 1024;

constexpr const char* chatter_text = "peer sends TLS records without data";
constexpr const char* backlog_text = "peer does not read the TLS answers that it asks for";
constexpr const char* write_failed_text = "TLS connection cannot be written to";

std::span<char> input_scratch() {
    thread_local const auto scratch = std::make_unique<std::array<char, most_received_at_once>>();
    return *scratch;
}

std::span<char> plain_scratch() {
    thread_local const auto scratch = std::make_unique<std::array<char, tls_engine::max_record>>();
    return *scratch;
}

/// Takes the chunks of one write as records: contiguous where they are, gathered where they are small.
class record_cutter {
public:
    explicit record_cutter(std::span<const iovec> chunks) : chunks_(chunks) { skip_empty(); }

    [[nodiscard]] bool empty() const { return chunks_.empty(); }

    /// At most max_record bytes, valid until the next call. One record rather than many: each costs a system's worth of
    /// header, tag and cipher set-up.
    [[nodiscard]] std::string_view next() {
        const std::string_view first = rest_of_first();
        if (first.size() >= tls_engine::max_record || chunks_.size() == 1) {
            const std::string_view record = first.substr(0, tls_engine::max_record);
            advance(record.size());
            return record;
        }
        const std::span<char> scratch = plain_scratch();
        std::size_t used = 0;
        while (!empty() && used < scratch.size()) {
            const std::string_view piece = rest_of_first().substr(0, scratch.size() - used);
            piece.copy(scratch.data() + used, piece.size());
            used += piece.size();
            advance(piece.size());
        }
        return {scratch.data(), used};
    }

private:
    [[nodiscard]] std::string_view rest_of_first() const {
        return std::string_view(static_cast<const char*>(chunks_[0].iov_base), chunks_[0].iov_len).substr(taken_);
    }
    void advance(std::size_t bytes) {
        taken_ += bytes;
        skip_empty();
    }
    void skip_empty() {
        while (!chunks_.empty() && taken_ == chunks_[0].iov_len) {
            chunks_ = chunks_.subspan(1);
            taken_ = 0;
        }
    }

    std::span<const iovec> chunks_;
    std::size_t taken_ = 0;  // of the first chunk
};

/// Whatever way a function ends, the engine keeps no view of the thread's scratch.
class kept_at_exit {
public:
    explicit kept_at_exit(tls_engine& engine) : engine_(engine) {}
    ~kept_at_exit() { engine_.keep_unread(); }
    kept_at_exit(const kept_at_exit&) = delete;
    kept_at_exit& operator=(const kept_at_exit&) = delete;

private:
    tls_engine& engine_;
};

}  // namespace

bool stream::start_tls_server(const tls_context& context, std::string_view already_read) {
    if (!start_tls(context, {})) return false;
    tls_->feed(already_read);
    tls_->keep_unread();
    return true;
}

bool stream::start_tls_client(const tls_context& context, const std::string& host) { return start_tls(context, host); }

bool stream::start_tls(const tls_context& context, const std::string& host) {
    tls_ = tls_engine::make(context, host, handshake_problem_);
    return tls_ != nullptr;
}

stream::handshake stream::continue_handshake() {
    if (!tls_) return handshake::failed;
    const kept_at_exit keep(*tls_);
    for (;;) {
        const tls_engine::outcome how = tls_->handshake();
        const io_result flushed = flush_ciphertext();  // an alert too, if it failed
        if (how == tls_engine::outcome::done) return handshake::done;
        if (how != tls_engine::outcome::want_input) return fail_handshake(tls_->describe_problem());
        if (flushed.result == kind::error) return fail_handshake(std::generic_category().message(flushed.error_number));
        if (!readable_) return handshake::in_progress;

        const io_result received = receive_ciphertext(most_received_at_once);
        if (received.result == kind::would_block) return handshake::in_progress;
        if (received.result == kind::error)
            return fail_handshake(std::generic_category().message(received.error_number));
        handshake_bytes_ += received.bytes;
        if (handshake_bytes_ > most_received_without_data) return fail_handshake(chatter_text);
    }
}

stream::handshake stream::fail_handshake(std::string why) {
    handshake_problem_ = std::move(why);
    return handshake::failed;
}

/// One recv into the thread's scratch, fed to the engine. An end of the socket is fed as such and returned as eof.
io_result stream::receive_ciphertext(std::size_t at_most) {
    const std::span<char> scratch = input_scratch().first(std::min(at_most, most_received_at_once));
    const io_result received = read_plain(scratch);
    if (received.result == kind::ok) tls_->feed({scratch.data(), received.bytes});
    if (received.result == kind::eof) tls_->end_input();
    return received;
}

io_result stream::read_tls(std::span<char> into) {
    const kept_at_exit keep(*tls_);
    std::size_t total = 0;
    std::size_t received_without_data = 0;
    for (;;) {
        while (total < into.size() && tls_->has_input()) {
            std::size_t bytes = 0;
            const tls_engine::outcome how = tls_->read(into.subspan(total), bytes);
            total += bytes;
            if (how == tls_engine::outcome::done) continue;
            if (how == tls_engine::outcome::want_input) break;
            if (total > 0) break;  // data first; the engine tells the end again
            answer_peer();         // an alert, if there is one to send
            if (how == tls_engine::outcome::closed) return {kind::eof};
            return {kind::error, 0, 0, tls_->problem()};
        }
        answer_peer();
        if (pending_ciphertext() > most_ciphertext_kept) return {kind::error, total, 0, backlog_text};
        if (total > 0) return {kind::ok, total};
        if (!readable_) return {kind::would_block};
        if (received_without_data > most_received_without_data) return {kind::error, 0, 0, chatter_text};

        const io_result received = receive_ciphertext(std::max(into.size(), tls_engine::max_record) + record_overhead);
        if (received.result == kind::would_block || received.result == kind::error) return received;
        received_without_data += received.bytes;
    }
}

/// Sends what reading produced: answers to key updates, alerts. The next write meets any error again.
void stream::answer_peer() {
    if (tls_->output().empty()) return;
    [[maybe_unused]] const io_result sent = flush_ciphertext();
}

io_result stream::write_tls(std::span<const iovec> chunks) {
    if (tls_->pending_output() > 0) {
        const io_result flushed = flush_ciphertext();
        if (flushed.result != kind::ok) return flushed;
    }
    record_cutter records(chunks);
    std::size_t accepted = 0;
    while (!records.empty()) {
        for (std::size_t i = 0; i < records_per_send && !records.empty(); ++i) {
            const std::string_view record = records.next();
            if (!tls_->write(record)) {
                tls_->sent(0);
                const char* const why = tls_->problem();
                return {kind::error, accepted, 0, why != nullptr ? why : write_failed_text};
            }
            accepted += record.size();
        }
        const io_result flushed = flush_ciphertext();
        if (flushed.result == kind::error) return {kind::error, accepted, flushed.error_number};
        if (flushed.result == kind::would_block && !records.empty()) return {kind::would_block, accepted};
    }
    return {kind::ok, accepted};
}

/// Sends the engine's output. What the socket does not take stays in the engine, and on_writable() will come.
io_result stream::flush_ciphertext() {
    for (;;) {
        const std::string_view output = tls_->output();
        if (output.empty()) return {kind::ok};
        const iovec chunk{const_cast<char*>(output.data()), output.size()};
        const io_result sent = write_plain(std::span(&chunk, 1));
        // After a failure nothing can be sent any more: keep nothing either.
        const bool failed = sent.result == kind::error;
        tls_->sent(failed ? output.size() : sent.bytes);
        if (failed) return {kind::error, 0, sent.error_number};
        if (tls_->pending_output() == 0) return {kind::ok};
        if (sent.result == kind::would_block) return {kind::would_block};
    }
}

std::size_t stream::pending_ciphertext() const { return tls_ ? tls_->pending_output() : 0; }

std::string stream::handshake_problem() const { return handshake_problem_; }

std::string stream::describe_tls() const { return tls_ ? tls_->describe() : std::string(); }

std::string_view stream::tls_application_protocol() const {
    return tls_ ? tls_->application_protocol() : std::string_view();
}

std::string stream::tls_server_end_point() const { return tls_ ? tls_->server_end_point() : std::string(); }

std::string stream::tls_peer_common_name() const { return tls_ ? tls_->peer_common_name() : std::string(); }

}  // namespace pgsteady::net
