// See check_servers.hpp.
#include "proxy/check_servers.hpp"

#include "protocol/frame.hpp"
#include "protocol/server_login.hpp"
#include "protocol/wire.hpp"
#include "proxy/net/dial.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/tls_contexts.hpp"
#include "proxy/worker/proxy_state.hpp"
#include "proxy/worker/server_connection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <set>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

constexpr auto patience = 3s;
constexpr std::size_t most_input = 1024 * 1024;

struct account {
    std::string user;
    std::string password;
    std::string database;
};

/// Asks one server for its limits: dial, sign in, one query.
class limits_question final : public net::stream_handler {
public:
    limits_question(net::event_loop& loop, const config::settings& settings, config::host_port host, account who)
        : loop_(loop), settings_(settings), host_(std::move(host)), who_(std::move(who)) {}

    void begin() {
        tls_ = server_tls_context(settings_.backends.tls).context;
        dialling_ = net::dial(loop_, host_.host, host_.port, loop_.now() + patience,
                              dial_options_of(settings_.connect), [this](net::dial_result result) { on_dialled(result); });
    }
    void on_readable() override {
        if (!over_) go_on();
    }
    void on_writable() override { on_readable(); }

    [[nodiscard]] bool over() const { return over_; }
    [[nodiscard]] const config::host_port& host() const { return host_; }
    [[nodiscard]] const std::string& problem() const { return problem_; }
    [[nodiscard]] std::optional<std::uint64_t> max_connections() const { return max_connections_; }
    [[nodiscard]] std::uint64_t reserved() const { return reserved_; }

private:
    void end(std::string problem) {
        over_ = true;
        problem_ = std::move(problem);
    }
    void on_dialled(const net::dial_result& result) {
        if (result.fd < 0) return end(result.problem);
        stream_ = net::stream::adopt(loop_, result.fd, this, net::stream::preparation::prepared);
        if (stream_ == nullptr) return end("cannot watch a socket");
        server_login::settings how;
        how.user = who_.user;
        how.database = who_.database;
        how.password = who_.password;
        how.tls = host_.host.starts_with('/') ? server_login::tls_mode::disable
                                              : tls_mode_of(settings_.backends.tls.sslmode);
        how.peer_is_loopback_or_unix = stream_->peer_is_local();
        how.nonce_material = random_bytes(24);
        login_.emplace(std::move(how));
        std::string out;
        login_->begin(out);
        (void)stream_->write(out);
    }
    void go_on() {
        if (handshaking_ && !shake_hands()) return;
        std::array<char, 16 * 1024> chunk{};
        while (!over_ && !handshaking_) {
            const net::io_result got = stream_->read(chunk);
            if (got.result == net::io_result::kind::would_block) return;
            if (!got.ok()) return end("the server closed the connection");
            in_.append(chunk.data(), got.bytes);
            if (in_.size() > most_input) return end("the server sends without end");
            if (login_) sign_in();
            else read_answer();
        }
    }
    void sign_in() {
        std::string out;
        std::size_t used = 0;
        const server_login::step step = login_->feed(in_, used, out);
        in_.erase(0, used);
        if (!out.empty()) (void)stream_->write(out);
        if (step == server_login::step::failed) return end(login_->failure().message);
        if (step == server_login::step::ready) return ask();
        if (step != server_login::step::start_tls) return;
        if (!in_.empty() || tls_ == nullptr || !stream_->start_tls_client(*tls_, host_.host))
            return end("TLS cannot be begun");
        handshaking_ = true;
        if (shake_hands()) go_on();
    }
    bool shake_hands() {
        const net::stream::handshake state = stream_->continue_handshake();
        if (state == net::stream::handshake::failed) end("TLS: " + stream_->handshake_problem());
        if (state != net::stream::handshake::done) return false;
        handshaking_ = false;
        std::string out;
        login_->tls_established(out);
        (void)stream_->write(out);
        return true;
    }
    void ask() {
        login_.reset();
        std::string out;
        {
            const frame_builder frame(out, frontend::query);
            put_cstring(out, "SELECT pg_catalog.current_setting('max_connections'), "
                             "pg_catalog.current_setting('superuser_reserved_connections')");
        }
        (void)stream_->write(out);
    }
    void read_answer() {
        while (!over_) {
            const frame_header header = read_frame_header(in_, most_input);
            if (header.state == frame_header::status::malformed) return end("malformed answer");
            if (header.state == frame_header::status::need_more || in_.size() < header.total) return;
            const std::string body = in_.substr(frame_header_size, header.total - frame_header_size);
            in_.erase(0, header.total);
            if (header.type == backend_message::data_row) take_row(body);
            if (header.type == backend_message::ready_for_query)
                return end(max_connections_ ? std::string() : "its limits are not known");
        }
    }
    void take_row(std::string_view body) {
        wire_reader row(body);
        if (row.u16().value_or(0) != 2) return;
        max_connections_ = number(row);
        reserved_ = number(row).value_or(0);
    }
    static std::optional<std::uint64_t> number(wire_reader& row) {
        const auto size = row.i32();
        const auto text = size && *size > 0 ? row.bytes(static_cast<std::size_t>(*size)) : std::nullopt;
        std::uint64_t value = 0;
        if (!text || std::from_chars(text->data(), text->data() + text->size(), value).ec != std::errc{}) return {};
        return value;
    }

    net::event_loop& loop_;
    const config::settings& settings_;
    config::host_port host_;
    account who_;
    std::shared_ptr<const net::tls_context> tls_;
    net::dial_handle dialling_;
    std::unique_ptr<net::stream> stream_;
    std::optional<server_login> login_;
    std::string in_;
    std::string problem_;
    std::optional<std::uint64_t> max_connections_;
    std::uint64_t reserved_ = 0;
    bool handshaking_ = false;
    bool over_ = false;
};

struct demand {
    std::uint64_t pools = 0;
    std::uint64_t connections = 0;
    std::optional<account> who;  // somebody who can sign in
};

/// What the pools that the configuration names may open, by host: databases × users that are known.
std::map<std::pair<std::string, std::uint16_t>, demand> demand_by_host(const config::settings& all) {
    std::map<std::pair<std::string, std::uint16_t>, demand> found;
    std::set<std::string> users;
    for (const auto& [name, user] : all.users) users.insert(name);
    if (!all.backends.user.empty()) users.insert(all.backends.user);
    const std::string fallback = all.backends.database.empty() ? "postgres" : all.backends.database;
    std::set<std::string> databases;
    for (const auto& [name, database] : all.databases) databases.insert(name);
    for (const config::host_port& host : all.backends.hosts) found[{host.host, host.port}];
    const auto add = [&](const std::string& database, const std::string& user, bool named) {
        const std::optional<pool_plan> plan = plan_pool(all, database, user);
        if (!plan) return;
        for (const config::host_port& host : plan->hosts) {
            demand& of = found[{host.host, host.port}];
            if (named) ++of.pools;
            if (named) of.connections += plan->policies.pool.size + plan->policies.pool.max_overflow;
            if (!of.who && !plan->server_password.empty())
                of.who = account{plan->server_user, plan->server_password, plan->server_database};
        }
    };
    for (const std::string& database : databases)
        for (const std::string& user : users) add(database, user, true);
    for (const std::string& user : users) add(fallback, user, false);
    for (auto& [host, of] : found)
        if (!of.who && !all.monitor.user.empty()) of.who = account{all.monitor.user, all.monitor.password, fallback};
    return found;
}

std::string verdict(const limits_question& asked, const demand& wanted, const config::settings& all) {
    const std::string name = asked.host().host + ':' + std::to_string(asked.host().port);
    if (!asked.problem().empty()) return fmt::format("warning: {}: not compared: {}", name, asked.problem());
    const std::uint64_t admitted = *asked.max_connections() - std::min(*asked.max_connections(), asked.reserved());
    const std::uint32_t cap = all.limits.max_server_connections;
    const std::uint64_t most = cap != 0 && (cap < wanted.connections || wanted.pools == 0) ? cap : wanted.connections;
    std::string line = fmt::format("{}: admits {} connections (max_connections {} - superuser_reserved_connections {}); "
                                   "{} named pool(s) may open {}",
                                   name, admitted, *asked.max_connections(), asked.reserved(), wanted.pools, most);
    if (cap != 0) line += fmt::format(", limits.max_server_connections is {}", cap);
    else if (all.auto_pools.enabled)
        line += fmt::format(", each automatic pool {} more", all.pool.size + all.pool.max_overflow);
    const bool too_many = cap > admitted || (cap == 0 && wanted.connections > admitted);
    return too_many ? "warning: " + line + ": more than the server admits; set limits.max_server_connections" : line;
}

}  // namespace

std::vector<std::string> compare_with_servers(const config::settings& settings) {
    std::vector<std::string> lines;
    net::event_loop loop;
    std::vector<std::pair<std::unique_ptr<limits_question>, demand>> asked;
    for (const auto& [host, wanted] : demand_by_host(settings)) {
        if (!wanted.who) {
            lines.push_back(fmt::format("{}:{}: not compared with its max_connections: no credentials are configured",
                                        host.first, host.second));
            continue;
        }
        asked.emplace_back(std::make_unique<limits_question>(loop, settings, config::host_port{host.first, host.second},
                                                             *wanted.who), wanted);
        asked.back().first->begin();
    }
    const auto all_over = [&] {
        return std::all_of(asked.begin(), asked.end(), [](const auto& each) { return each.first->over(); });
    };
    const auto give_up = std::chrono::steady_clock::now() + patience;
    while (!all_over() && std::chrono::steady_clock::now() < give_up) loop.run_once(50ms);
    for (const auto& [question, wanted] : asked)
        lines.push_back(question->over() ? verdict(*question, wanted, settings)
                                         : fmt::format("warning: {}:{}: not compared: no answer in time",
                                                       question->host().host, question->host().port));
    return lines;
}

}  // namespace pgsteady
