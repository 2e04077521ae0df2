// The sign-in of a client: drives client_login with the socket, the users and the pools.
#include "protocol/proxy_header.hpp"
#include "protocol/sqlstate.hpp"

#include "proxy/net/socket_address.hpp"
#include "proxy/policy/client_errors.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/worker.hpp"

namespace pgsteady {

client_connection::client_connection(worker& at, std::uint64_t serial, std::string peer)
    : worker_(at), serial_(serial), peer_(std::move(peer)), connected_at_(at.loop().now()) {}

client_connection::~client_connection() {
    if (counted_unauthenticated_) worker_.shared().unauthenticated.give_back();
    if (counted_) worker_.shared().clients.give_back();
}

bool client_connection::begin(int fd) {
    stream_ = net::stream::adopt(worker_.loop(), fd, this, net::stream::preparation::prepared);
    if (stream_ == nullptr) return false;
    awaits_header_ = worker_.shared().settings().listen.proxy_protocol && !peer_is_unix();
    expect_startup(stream_->peer_is_local());
    const auto limit = worker_.shared().settings().timeouts.login;
    if (limit.count() > 0)
        login_timer_ = worker_.loop().add_timer(worker_.loop().now() + limit, [this] {
            log::info("client {} from {}: sign-in took too long", serial_, peer_);
            close(end_reason::client_too_slow);
        });
    return true;
}

/// `is_local`: nobody can sit between us and the client.
void client_connection::expect_startup(bool is_local) {
    const config::settings& all = worker_.shared().settings();
    const bool is_unix = peer_is_unix();
    client_login::settings how;
    how.tls_available = worker_.shared().client_tls.get() != nullptr && !is_unix;
    how.tls_required = all.listen.tls.required() && !is_unix;
    how.is_loopback_or_unix = is_local;
    how.mock_secret = worker_.shared().mock_secret;
    login_ = std::make_unique<client_login>(std::move(how));
}

/// listen.proxy_protocol: who connects is who the balancer in front says. False: not here yet, or not to be believed.
bool client_connection::take_proxy_header(std::string_view in, std::size_t& used) {
    proxy_header header;
    std::string problem;
    const parse_status status = parse_proxy_header(in, used, header, problem);
    if (status == parse_status::malformed) {
        log::info("client {} from {}: {}", serial_, peer_, problem);
        close(end_reason::protocol_violation);
    }
    if (status != parse_status::ok) return false;
    awaits_header_ = false;
    if (const auto client = net::socket_address::of_bytes(header.address, header.port)) {
        peer_ = client->to_string();
        expect_startup(client->is_local() && stream_->peer_is_local());
    }
    return true;
}

std::size_t client_connection::sign_in(std::string_view in) {
    std::size_t used = 0;
    if (awaits_header_ && !take_proxy_header(in, used)) return used;
    while (!closed_ && login_ != nullptr && !handshaking_ && !checking_ && !looking_up_) {
        std::string out;
        std::size_t consumed = 0;
        const client_login::step step = login_->feed(in.substr(used), consumed, out);
        used += consumed;
        if (step == client_login::step::start_tls && login_->direct_tls()) {
            begin_handshake(in.substr(used));
            return in.size();
        }
        if (step == client_login::step::start_tls && used < in.size()) {  // bytes in clear behind our S (P1)
            std::string farewell;
            (void)login_->feed(in.substr(used), consumed, farewell);
            send(farewell);
            close_when_flushed(end_reason::protocol_violation);
            return in.size();
        }
        if (step == client_login::step::need_more) {
            send(out);
            return used;
        }
        login_step(step, out);
    }
    return used;
}

void client_connection::login_step(client_login::step step, std::string& out) {
    switch (step) {
        case client_login::step::need_more: send(out); return;
        case client_login::step::start_tls: send(out); return begin_handshake({});
        case client_login::step::lookup_user: return look_up_user(out);
        case client_login::step::check_password: return check_password(out);
        case client_login::step::cancel_request: return send_cancel();
        case client_login::step::authenticated: return finish_login(out);
        case client_login::step::failed:
            send(out);
            worker_.counters().logins_failed.add();
            note_failed_lookup();
            log::info("client {} from {}: sign-in failed: {}", serial_, peer_,
                      login_->failure_cause().empty() ? login_->failure().message : login_->failure_cause());
            user_ = login_->user();
            database_ = login_->database();
            return close_when_flushed(end_reason::login_failed);
    }
}

/// The stream goes to the helper and comes back encrypted, or broken (D40).
/// `already_read`: its beginning, if the client did not ask first.
void client_connection::begin_handshake(std::string_view already_read) {
    handshaking_ = true;
    const auto context = worker_.shared().client_tls.get();  // null: it was taken away a moment ago
    if (context == nullptr || !stream_->start_tls_server(*context, already_read))
        return close(end_reason::login_failed);
    stream_->set_handler(nullptr);
    stream_->leave_loop();
    worker_.shared().helper.shake_hands(
        std::move(stream_), [home = &worker_, client = weak_from_this()](auto stream, net::stream::handshake result) {
            auto letter = std::make_shared<std::unique_ptr<net::stream>>(std::move(stream));
            home->post([client, letter, result] {
                if (const auto alive = client.lock()) alive->handshake_done(std::move(*letter), result);
            });
        });
}

void client_connection::handshake_done(std::unique_ptr<net::stream> stream, net::stream::handshake result) {
    if (closed_) return;
    handshaking_ = false;
    stream_ = std::move(stream);
    stream_->set_handler(this);
    const bool done = result == net::stream::handshake::done;
    const bool named = !login_->direct_tls() || !stream_->tls_application_protocol().empty();
    if (!done || !named || !stream_->move_to(worker_.loop())) {
        const std::string problem = done && !named
                                        ? "it began without asking, and did not name the protocol postgresql (ALPN)"
                                        : stream_->handshake_problem();
        log::info("client {} from {}: TLS handshake failed: {}", serial_, peer_,
                  problem.empty() ? "timed out" : problem);
        worker_.counters().logins_failed.add();
        worker_.counters().client_handshakes_failed.add();
        return close(end_reason::login_failed);
    }
    worker_.counters().client_handshakes.add();
    login_->tls_established(stream_->tls_server_end_point());
    if (stream_->readable()) on_readable();
}

void client_connection::look_up_user(std::string& out) {
    user_ = login_->user();
    database_ = login_->database();
    const config::settings& all = worker_.shared().settings();
    if (const auto objection = objection_to_entry()) return login_step(login_->refuse(*objection, out), out);
    if (leads_to_console(all, database_)) return look_up_operator(out);
    if (is_looked_up(all, method_, database_, user_)) return look_up_role(out);
    client_login::credentials found = credentials_of(all, method_, user_);
    if (found.method == client_login::auth_method::scram && found.known_user && !found.verifier)
        found.verifier = worker_.shared().verifier_of(user_);
    const client_login::step next = login_->provide_credentials(std::move(found), random_bytes(32), out);
    login_step(next, out);
}

/// Finds this worker's part of the pool; false: `why` is the FATAL error that ends the sign-in.
bool client_connection::find_pool(error_fields& why) {
    if (worker_.shared().marks.disabled(database_)) {
        why = fatal_error(sqlstate::object_not_in_prerequisite_state,
                          "database \"" + database_ + "\" is not currently accepting connections", {},
                          "An operator has disabled it.");
        return false;
    }
    if (pool_ != nullptr) return true;
    bool crowded = false;
    pool_ = worker_.pool_for(database_, user_, crowded);
    if (pool_ != nullptr) {
        pool_->client_added();
        return true;
    }
    why = crowded ? client_errors::too_many_clients("auto_pools.max")
                  : fatal_error(sqlstate::invalid_catalog_name, "database \"" + database_ + "\" does not exist");
    return false;
}

/// passthrough (D38): the password is tried on the server, unless it was a moment ago.
void client_connection::check_password(std::string& out) {
    send(out);
    out.clear();
    std::string password = login_->take_password();
    error_fields why;
    if (!find_pool(why)) return login_step(login_->password_checked(false, &why, out), out);
    const config::passthrough_settings& rules = worker_.shared().settings().auth.passthrough;
    const pool_time now = worker_.loop().now();
    if (pool_->shared->recently_verified(password, now, rules.reverify))
        return login_step(login_->password_checked(true, nullptr, out), out);
    source_ = source_of(peer_);
    if (const auto answer = worker_.shared().sources.begin(source_, now); answer != source_limits::answer::admitted) {
        source_.clear();
        why = client_errors::too_many_tries(answer == source_limits::answer::too_many_tries ? "max_tries_per_minute"
                                                                                            : "max_concurrent");
        return login_step(login_->password_checked(false, &why, out), out);
    }
    checking_ = true;
    tried_password_ = password;
    pool_->verify_password(*this, std::move(password));
}

void client_connection::end_check() {
    checking_ = false;
    if (!source_.empty()) worker_.shared().sources.ended(source_);
    source_.clear();
}

void client_connection::password_verdict(bool ok, const error_fields* why) {
    const auto self = shared_from_this();
    if (closed_) return;
    if (asks_for_replication()) return replication_refused(*why);
    end_check();
    if (ok) pool_->shared->remember_verified(tried_password_, worker_.loop().now());
    tried_password_.clear();
    std::string out;
    login_step(login_->password_checked(ok, why, out), out);
    if (!closed_ && !pending_in_.empty()) {
        const std::string ahead = std::move(pending_in_);
        pending_in_.clear();
        take(ahead);
    }
}

void client_connection::finish_login(std::string& out) {
    std::string cap;
    if (!worker_.shared().admit(user_, database_, cap)) {
        worker_.counters().clients_refused.add();
        std::string farewell;
        append_error_response(farewell, client_errors::too_many_clients(cap));
        send(farewell);
        return close_when_flushed(end_reason::login_refused);
    }
    admitted_ = true;
    if (leads_to_console(worker_.shared().settings(), database_)) return enter_console(out);
    if (error_fields why; !find_pool(why)) {
        std::string farewell;
        append_error_response(farewell, why);
        send(farewell);
        return close_when_flushed(end_reason::login_failed);
    }
    offer_secrets();
    worker_.counters().logins_succeeded.add();
    worker_.loop().cancel_timer(login_timer_);
    worker_.shared().unauthenticated.give_back();
    counted_unauthenticated_ = false;
    last_activity_ = worker_.loop().now();
    if (login_->wants_replication()) return begin_replication(out);
    const std::int32_t pid = worker_.new_client_pid();
    session_ = std::make_unique<session>(worker_.tables(), pool_->facts, pid, random_bytes(login_->cancel_key_bytes()));
    worker_.register_cancel(pid, *this);
    worker_.tables().to_client.copy(out);  // AuthenticationOk leaves in one write with what follows
    session_->begin(login_->startup().parameters);
    login_.reset();
    flush();
    (void)act();
}

void client_connection::send_cancel() {
    worker_.counters().cancels_received.add();
    worker_.route_cancel(login_->startup().cancel_pid, login_->startup().cancel_key);
    close(end_reason::cancel_request);
}

}  // namespace pgsteady
