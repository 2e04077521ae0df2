// See console_connection.hpp.
#include "proxy/console_connection.hpp"

#include "proxy/console_server.hpp"
#include "proxy/worker/log.hpp"

#include <array>
#include <utility>

namespace pgsteady {
namespace {

constexpr std::size_t read_size = 16 * 1024;
// A whole message and what comes with it: beyond this the socket is left alone.
constexpr std::size_t input_max = console_conversation::message_max + read_size;

const char* name_of(console_role role) { return role == console_role::admin ? "admin" : "stats"; }

}  // namespace

console_connection::console_connection(console_server& at, console_arrival who)
    : server_(at),
      told_(who.role == console_role::admin || at.orders_.logs_connections()),
      stream_(std::move(who.stream)),
      caller_{std::move(who.user), std::move(who.peer), who.role},
      serial_(who.serial),
      place_(std::move(who.place)),
      in_(std::move(who.input)),
      unsent_(std::move(who.output)) {}

bool console_connection::begin() {
    stream_->set_handler(this);
    if (!stream_->move_to(server_.loop_)) return false;
    if (told_)
        log::info("client {} from {}: {} is in the console as {} user", serial_, caller_.peer, caller_.user,
                  name_of(caller_.role));
    std::string greeting;
    console_conversation::welcome(greeting, PGSTEADY_VERSION);
    write(std::move(greeting));
    if (stream_->readable()) read_some();
    go_on();
    return true;
}

void console_connection::end(const error_fields& why) {
    if (closed_) return;
    std::string out;
    console_conversation::farewell(why, out);
    write(std::move(out));
    close();
}

void console_connection::on_readable() {
    const auto self = shared_from_this();
    read_some();
    go_on();
}

void console_connection::on_writable() {
    const auto self = shared_from_this();
    if (!unsent_.empty()) write({});
    if (closed_ || !unsent_.empty() || stream_->write_blocked()) return;
    if (closing_) return close();
    if (stream_->readable()) read_some();
    go_on();
}

void console_connection::read_some() {
    while (!closed_ && in_.size() < input_max && stream_->readable()) {
        std::array<char, read_size> buffer{};
        const net::io_result got = stream_->read(buffer);
        if (got.result == net::io_result::kind::would_block) return;
        if (!got.ok()) return close();
        if (closing_) continue;
        in_.append(buffer.data(), got.bytes);
        server_.orders_.input_arrived();
    }
}

/// One command per turn of the loop, so that a long text keeps nobody else waiting.
void console_connection::go_on() {
    if (closed_ || closing_ || wait_ || deferred_ || !unsent_.empty()) return;
    std::string out;
    std::size_t used = 0;
    const console_conversation::step next = talk_.feed(in_, used, out);
    in_.erase(0, used);
    write(std::move(out));
    if (closed_) return;
    switch (next) {
        case console_conversation::step::need_more:
            if (stream_->readable()) later();  // there was more than is read at a time
            return;
        case console_conversation::step::close: return close_when_written();
        case console_conversation::step::run: return run_due();
    }
}

void console_connection::run_due() {
    console_result result = server_.orders_.carry_out(talk_.due(), caller_);
    if (result.wait) {
        wait_ = std::move(result.wait);
        return look();
    }
    answer(result.answer);
}

void console_connection::look() {
    if (!wait_ || closed_) return;
    const auto self = shared_from_this();
    const console_wait::state now = wait_->look();
    if (now == console_wait::state::not_yet) return server_.watch_waits();
    const console_wait over = *std::exchange(wait_, std::nullopt);
    answer(now == console_wait::state::over ? over.then : over.in_vain);
}

void console_connection::answer(const console_answer& outcome) {
    std::string out;
    talk_.answer(outcome, out);
    write(std::move(out));
    later();
}

void console_connection::later() {
    if (closed_ || deferred_) return;
    deferred_ = true;
    server_.loop_.defer([self = shared_from_this()] {
        self->deferred_ = false;
        self->read_some();
        self->go_on();
    });
}

void console_connection::write(std::string out) {
    if (closed_) return;
    if (unsent_.empty()) unsent_ = std::move(out);
    else unsent_ += out;
    if (unsent_.empty() || stream_->write_blocked()) return;
    const net::io_result sent = stream_->write(std::string_view(unsent_));
    if (sent.result == net::io_result::kind::error) return close();
    unsent_.erase(0, sent.bytes);
    if (unsent_.empty()) unsent_.shrink_to_fit();
}

void console_connection::close_when_written() {
    closing_ = true;
    if (unsent_.empty() && stream_->pending_ciphertext() == 0) close();
}

void console_connection::close() {
    if (std::exchange(closed_, true)) return;
    const auto self = shared_from_this();
    wait_.reset();
    stream_->shutdown_write();
    stream_->close(false);
    if (told_) log::info("client {} from {} left the console", serial_, caller_.peer);
    server_.remove(*this);
}

}  // namespace pgsteady
